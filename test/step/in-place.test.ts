import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { type Graph, tensorOf } from "../../src/graph/graph.js";
import { timeline } from "../../src/memory/liveness.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { writeInPlace } from "../../src/step/in-place.js";
import { lower } from "../../src/step/lower.js";
import { type TrainingOptions, trainingStep } from "../../src/step/training.js";
import { outcome } from "../step.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

/** A table of 50 rows of 8; tied: the last product's weight is the table. */
const model = (tied: boolean): Graph =>
  parseGraph(`graph lookup(int64[2,3] x, parameter float32[50,8] table, parameter float32[8,50] w) => (y) {
    e = Gather(table, x)
    h = Tanh(e)
    t = Transpose<perm=[1,0]>(table)
    y = MatMul(h, ${tied ? "t" : "w"})
  }`);

const tableBytes = 4 * 50 * 8;

/** Bytes that are live while a gradient is made, of those that no residents are. */
function bytesAt(graph: Graph, name: string): number {
  const { totalBytes, residentBytes } = timeline(graph);
  const rank = graph.nodes.findIndex(({ outputs }) => outputs.includes(name));
  return (totalBytes[rank] as number) - residentBytes;
}

const step = (tied: boolean, options: Partial<TrainingOptions> = {}): Graph =>
  lower(trainingStep(model(tied), { loss: "ce", optimizer: "sgd", ...options }), cpu.hasKernel);

test("writeInPlace makes the zeros of a look-up's gradient in the gradient's place", () => {
  const before = step(false);
  const after = writeInPlace(before);
  assert.deepEqual(after.nodes, before.nodes);
  const scatter = after.nodes.find(({ op }) => op === "ScatterND");
  const [zeros = "", , , sum = ""] = [...(scatter?.inputs ?? []), ...(scatter?.outputs ?? [])];
  assert.deepEqual(tensorOf(after, zeros).within, tensorOf(after, sum).within);
  assert.equal(bytesAt(before, sum) - bytesAt(after, sum), tableBytes);
});

test("writeInPlace adds a tied weight's gradients where the sum is to be", () => {
  const [before, after] = [step(true), writeInPlace(step(true))];
  assert.equal(bytesAt(before, "table.grad") - bytesAt(after, "table.grad"), tableBytes);
});

for (const options of [{}, { accumulate: 3 }, { accumulate: 2, clipNorm: 0.1 }, { precision: "mixed" }])
  for (const tied of [false, true])
    test(`writeInPlace changes no bit: ${tied ? "tied" : "one look-up"}, ${JSON.stringify(options)}`, async () => {
      const before = step(tied, options);
      assert.deepEqual(await outcome(cpu, writeInPlace(before)), await outcome(cpu, before));
    });

test("writeInPlace leaves alone what is read again, and what another micro-batch's sum would be under", () => {
  const flat = (nodes: string): Graph =>
    parseGraph(`graph flat(float32[4] x, gradient float32[4] g) => (y) {
      backward:
      a = Neg(x)
      ${nodes}
    }`);
  const placed = (graph: Graph): string[] =>
    [...writeInPlace(graph).tensors.values()].filter(({ within }) => within).map(({ name }) => name);
  assert.deepEqual(placed(flat("gradient float32[4] p within g+0 = Add(a, x)\n y = Neg(p)")), ["a", "p"]);
  assert.deepEqual(placed(flat("gradient float32[4] p within g+0 = Add(a, x)\n y = Add(p, a)")), ["p"]);
  assert.deepEqual(placed(flat("gradient float32[4] p within g+0 = Add(a, a)\n y = Neg(p)")), ["p"]);
  const sums = `gradient float32[4] p within g+0 = Exp(x)
      gradient float32[4] q within g+0 = Add(p, a)
      y = Neg(q)`;
  assert.deepEqual(placed(flat(sums)), ["p", "q"]);
});
