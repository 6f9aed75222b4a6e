import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph } from "../../src/graph/graph.js";
import { layout } from "../../src/memory/layout.js";
import { peakBytes, timeline } from "../../src/memory/liveness.js";
import { storages } from "../../src/memory/storages.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { initialValues } from "../../src/step/initial.js";
import { lower, lowerFor } from "../../src/step/lower.js";
import { type TrainingOptions, trainingStep } from "../../src/step/training.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

/** 72 012 parameters of one type: four slices. */
const net = (type = "float32"): Graph =>
  parseGraph(`graph net(${type}[4,300] x, parameter ${type}[300,240] w, parameter ${type}[240] b) => (y) {
    h = MatMul(x, w)
    s = Add(h, b)
    y = Tanh(s)
  }`);

const bufferBytes = 4 * (300 * 240 + 240);

/** A step as it was and sliced. */
function both(options: Omit<TrainingOptions, "loss">, model = net()): { whole: Graph; sliced: Graph } {
  const step = trainingStep(model, { loss: "mse", ...options });
  return { whole: lower(step, cpu.hasKernel), sliced: lowerFor(cpu, step) };
}

/** The loss, and all flat buffers after three steps. */
async function results(graph: Graph, flats: readonly string[]): Promise<Map<string, Uint8Array>> {
  const { step } = loadWithValues(graph, cpu, initialValues(graph, graph, 3));
  try {
    for (let i = 0; i < 3; i++) await step.run();
    return new Map([graph.loss as string, ...flats].map((name) => [name, step.read(name)]));
  } finally {
    step.close();
  }
}

const cases: readonly (readonly [what: string, Omit<TrainingOptions, "loss">, string?])[] = [
  ["sgd", { optimizer: "sgd" }],
  ["nesterov's momentum and weight decay", { optimizer: "sgd:nesterov=true,weight_decay=0.1" }],
  ["adam", { optimizer: "adam" }],
  ["adamw on clipped sums of gradients", { optimizer: "adamw", accumulate: 2, clipNorm: 0.1 }],
  ["mixed precision", { optimizer: "adam", precision: "mixed" }],
  ["float16 parameters", { optimizer: "adam", clipNorm: 0.1 }, "float16"],
];

for (const [what, options, type] of cases)
  test(`lowerFor(cpu, step) updates in slices with the same bits: ${what}`, async () => {
    const { whole, sliced } = both(options, net(type));
    const flats = whole.state.map(({ before }) => before);
    assert.equal(sliced.state.filter(({ before }) => before.includes("@slice")).length % 4, 0);
    assert.ok(sliced.state.length > flats.length);
    assert.deepEqual(await results(sliced, flats), await results(whole, flats));
  });

test("sliceUpdate leaves no temporary of the buffers' size: adamw makes two", () => {
  const { whole, sliced } = both({ optimizer: "adamw" });
  const residents = timeline(whole).residentBytes;
  // the gradients beside one temporary, then two temporaries; in slices a fourth of both
  assert.ok(peakBytes(whole) - residents >= 2 * bufferBytes);
  assert.ok(peakBytes(sliced) - residents < 1.6 * bufferBytes, `${(peakBytes(sliced) - residents) / bufferBytes}`);
  assert.ok(layout(sliced).arenaBytes < layout(whole).arenaBytes - 0.4 * bufferBytes);
  // the slices lie in the buffers, which count once
  assert.ok(timeline(sliced).residentBytes - residents < 1024);
});

test("sliceUpdate leaves small parameters and a GPU's step as they are", () => {
  const small = parseGraph(
    `graph small(float32[4,30] x, parameter float32[30,240] w) => (y) {
      y = MatMul(x, w)
    }`,
  );
  const step = trainingStep(small, { loss: "mse", optimizer: "adam" });
  assert.deepEqual(lowerFor(cpu, step), lower(step, cpu.hasKernel));
  const fused = lowerFor(
    { fuses: true, hasKernel: cpu.hasKernel },
    trainingStep(net(), { loss: "mse", optimizer: "adam" }),
  );
  assert.ok(!fused.state.some(({ before }) => before.includes("@slice")));
});

test("storages(graph) refuses a slice's next value while another name of that memory is still read", () => {
  const text = (reader: string): Graph =>
    parseGraph(`graph slices(temporary float32[4] a within p+0, temporary float32[4] c within p+16, parameter float32[8] p) => (y) {
      update:
      next = Neg(a)
      y = ${reader}
      state a -> next
    }`);
  assert.doesNotThrow(() => storages(text("Neg(c)")));
  assert.throws(() => storages(text("Neg(a)")), /state overwritten while still read: a/);
  assert.throws(() => storages(text("Neg(p)")), /state overwritten while still read: a/);
});
