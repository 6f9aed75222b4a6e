import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { type Graph, tensorOf } from "../../src/graph/graph.js";
import { valuesOf } from "../../src/graph/values.js";
import { peakBytes } from "../../src/memory/liveness.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { alignRows } from "../../src/step/aligned.js";
import { fuse } from "../../src/step/fuse.js";
import { initialValues } from "../../src/step/initial.js";
import { lower } from "../../src/step/lower.js";
import { trainingStep } from "../../src/step/training.js";
import { absorbTransposes } from "../../src/step/transposes.js";
import { twoSteps } from "../step.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

/** A step whose last product has 13 classes, up to where rows are made longer, and behind that. */
function both(text: string, options: { loss: string; precision?: string }): { short: Graph; long: Graph } {
  const step = trainingStep(parseGraph(text), { optimizer: "sgd", ...options });
  const short = absorbTransposes(lower(step, cpu.hasKernel, "parts"), cpu.hasKernel);
  return { short, long: alignRows(short, 0) };
}

const head = (more: string, weight = "float32[5,13] w2") =>
  `graph(float32[2,6,4] x, parameter float32[4,5] w1, parameter ${weight}, parameter float32[13] c) => (y) {
    g = MatMul(x, w1)
    h = Tanh(g)
    ${more}
  }`;

const models: readonly [string, string, { loss: string; precision?: string }][] = [
  ["a product", head("y = MatMul(h, w2)"), { loss: "ce" }],
  [
    "a transposed matrix and a bias",
    head("t = Transpose<perm=[1,0]>(w2) p = MatMul(h, t) y = Add(p, c)", "float32[13,5] w2"),
    { loss: "ce:label_smoothing=0.1" },
  ],
  ["a Gemm", head("r = Reshape(h, int64[2]{12,5}) y = Gemm(r, w2, c)"), { loss: "ce:ignore_index=3" }],
  [
    "a tied matrix",
    head("t = Transpose<perm=[1,0]>(w2) y = MatMul(h, t)", "float32[13,5] w2"),
    { loss: "ce:chunks=2" },
  ],
  [
    "softmax and another product",
    head("p = MatMul(h, w2) s = Softmax(p) q = Relu(p) m = Mul(q, s) t = Transpose<perm=[1,0]>(w2) y = MatMul(m, t)"),
    { loss: "mse" },
  ],
];

for (const [name, text, options] of models)
  test(`alignRows(step with ${name}, ${options.loss}) computes the same`, async () => {
    const { short, long } = both(text, options);
    const values = initialValues(short, short, 0);
    const observe = new Set([short.loss as string, ...short.state.map(({ after }) => after)]);
    const [, expected] = await twoSteps(cpu, lower(short, cpu.hasKernel), values, observe);
    const [, actual] = await twoSteps(cpu, lower(fuse(long), cpu.hasKernel), values, observe);
    assert.ok(expected && actual);
    for (const [tensor, bytes] of expected) {
      const { dtype } = tensorOf(short, tensor);
      const [p, q] = [valuesOf(dtype, actual.get(tensor) as Uint8Array), valuesOf(dtype, bytes)];
      const scale = q.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
      q.forEach((value, i) => void assert.ok(Math.abs((p[i] as number) - value) < 1e-5 * scale, `${tensor} ${i}`));
    }
  });

const rowsOf = (graph: Graph): string[] =>
  graph.nodes
    .filter(({ op }) => /Gemm|MatMul/.test(op))
    .map(({ outputs, inputs }) => [...inputs, ...outputs].map((one) => `[${tensorOf(graph, one).shape}]`).join(" "));

test("alignRows(step) makes the rows of the product and its two gradients longer, and no others", () => {
  const { short, long } = both(head("y = MatMul(h, w2)"), { loss: "ce" });
  const of = (graph: Graph) => rowsOf(graph).filter((shapes) => /13|16/.test(shapes));
  assert.deepEqual(of(short), ["[2,6,5] [5,13] [2,6,13]", "[12,13] [5,13] [12,5]", "[12,5] [12,13] [5,13]"]);
  assert.deepEqual(of(long), ["[2,6,5] [5,16] [2,6,16]", "[12,16] [5,16] [12,5]", "[12,5] [12,16] [5,16]"]);
  assert.equal(rowsOf(long).length, rowsOf(short).length);
  // masks are parts of the loss' fused nodes: no other node goes over the classes
  const fused = fuse(long);
  const whole = fused.nodes.filter(({ outputs }) =>
    outputs.some((one) => tensorOf(fused, one).shape.join() === "2,6,16"),
  );
  assert.deepEqual(
    whole.map(({ op }) => op),
    ["MatMul", "Fused", "Fused"],
  );
  assert.ok(peakBytes(fused) < 1.3 * peakBytes(fuse(short)));
});

test("alignRows(graph) leaves alone what others want as it is, small products, and aligned ones", () => {
  const { short } = both(head("y = MatMul(h, w2)"), { loss: "ce" });
  assert.equal(alignRows(short), short);
  const aligned = parseGraph("graph(float32[6,4] x, float32[4,8] w) => (y) { p = MatMul(x, w) y = Exp(p) }");
  assert.equal(alignRows(aligned, 0), aligned);
  const output = parseGraph("graph(float32[6,4] x, float32[4,7] w) => (y) { p = MatMul(x, w) y = Exp(p) }");
  assert.equal(alignRows(output, 0), output);
  const cut = parseGraph(
    "graph(float32[6,4] x, float32[4,7] w) => (y) { p = MatMul(x, w) y = Slice(p, int64[1]{1}, int64[1]{3}, int64[1]{1}) }",
  );
  assert.equal(alignRows(cut, 0), cut);
});
