import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph, printGraph } from "../../src/build/text.js";
import type { Graph } from "../../src/graph/graph.js";
import { valuesOf } from "../../src/graph/values.js";
import { readModel } from "../../src/model/read.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { trainingStep } from "../../src/step/training.js";

const runtime = openCpu();

after(() => runtime.close());

const step = `graph step(
  float32[4,3] x,
  float32[4,2] target,
  parameter float32[6] flat,
  parameter float32[3,2] w within flat+0,
  gradient float32[6] dflat,
  constant float32[] lr = {0.1}
) => (loss) {
  h = MatMul(x, w)
loss:
  d = Sub(h, target)
  [square] d2 = Mul(d, d)
  loss = ReduceMean<keepdims=0>(d2)
backward:
  xt = Transpose<perm=[1,0]>(x)
  gradient dw within dflat+0 = MatMul(xt, d)
update:
  change = Mul(dflat, lr)
  parameter flat.next = Sub(flat, change)
  state flat -> flat.next
  loss loss
}
`;

test("printGraph(parseGraph(text)) is the text", () => {
  assert.equal(printGraph(parseGraph(step)), step);
});

test("parseGraph(text) infers types, phases and categories", () => {
  const { tensors, nodes, inputs, outputs, state, loss } = parseGraph(step);
  assert.deepEqual(inputs, ["x", "target"]);
  assert.deepEqual([outputs, loss, state], [["loss"], "loss", [{ before: "flat", after: "flat.next" }]]);
  assert.deepEqual(tensors.get("loss"), { name: "loss", dtype: "float32", shape: [], category: "activation" });
  assert.deepEqual(tensors.get("dw")?.within, { tensor: "dflat", offsetBytes: 0 });
  assert.deepEqual(tensors.get("xt")?.category, "temporary");
  assert.deepEqual(nodes.map((n) => `${n.phase} ${n.name}`).slice(1, 4), ["loss d", "loss square", "loss loss"]);
  assert.deepEqual(nodes[3]?.attributes, { keepdims: { type: "int", value: 0 } });
});

test("parseGraph(text) reads inline constants, quoted and absent names, every kind of attribute", () => {
  const graph = parseGraph(`graph (float32[2,3] x, constant int64[2] big = {9223372036854775807,-1}) => ("a b") {
    y = Reshape(x, int64[2]{3,-1})   # a comment
    z = Clip(y, _, float32[]{1})
    "a b", _ = Dropout<seed=1>(z)
    k = Constant<value=float32[2]{-inf,nan}>()
  }`);
  const [reshape, clip, dropout, constant] = graph.nodes;
  assert.deepEqual(graph.tensors.get("y")?.shape, [3, 2]);
  assert.deepEqual([clip?.inputs[1], dropout?.outputs], ["", ["a b", ""]]);
  assert.deepEqual(valuesOf("int64", graph.tensors.get(reshape?.inputs[1] as string)?.data as Uint8Array), [3, -1]);
  assert.equal(new BigInt64Array(graph.tensors.get("big")?.data?.slice().buffer as ArrayBuffer)[0], 2n ** 63n - 1n);
  const value = constant?.attributes.value;
  assert.ok(value?.type === "tensor");
  assert.deepEqual(valuesOf("float32", value.value.data), [Number.NEGATIVE_INFINITY, Number.NaN]);
  assert.deepEqual(parseGraph(printGraph(graph)), graph);
});

test("printGraph(graph) keeps attributes apart that differ only in type", () => {
  const attributes =
    'a=1, b=1.0, c=1e-7, d=[], e=floats[], f=strings[], g=[1.0,2.5], h=["x\\n","\\""], i=-0.0, j=1e+30';
  const text = `graph g(float32[2] x) => (y) {\n  y = Relu<${attributes}>(x)\n}\n`;
  assert.equal(printGraph(parseGraph(text)), text);
});

test("printGraph(graph, {types}) writes every output's type, which parseGraph checks", () => {
  const text = "graph g(float32[2,3] x, float32[3,4] w) => (y) {\n  float32[2,4] y = MatMul(x, w)\n}\n";
  assert.equal(printGraph(parseGraph(text), { types: true }), text);
  assert.throws(() => parseGraph(text.replace("[2,4]", "[2,5]")), {
    message: "shape mismatch: y is float32[2,4], not float32[2,5] (line 2)",
  });
});

test("printGraph(graph, {maxElements}) leaves large data out; parseGraph refuses constants without data", () => {
  const graph = parseGraph("graph g(float32[2] x, parameter float32[2] w = {1,2}) => (y) { y = Add(x, w) }");
  const text = printGraph(graph, { maxElements: 1 });
  assert.match(text, /parameter float32\[2\] w = \{\.\.\.\}/);
  assert.equal(parseGraph(text).tensors.get("w")?.data, undefined);
  assert.throws(() => parseGraph(text.replace("parameter", "constant")), {
    message: "constant without data: w (line 1)",
  });
});

test("parseGraph(printGraph(step)) equals the training steps of model files", () => {
  for (const file of ["mlp.ts.onnx", "resnet_bottleneck.ts.onnx"]) {
    const model = readModel(`test/fixtures/${file}`, { runtime }).graph;
    const graph: Graph = trainingStep(model, { loss: file.startsWith("mlp") ? "mse" : "ce", optimizer: "adam" });
    const again = parseGraph(printGraph(graph, { maxElements: Number.POSITIVE_INFINITY }));
    assert.deepEqual(again.nodes, graph.nodes);
    assert.deepEqual(again, graph);
  }
});

test("parseGraph(text) says in one line what is wrong and where", () => {
  const cases: readonly [text: string, message: string][] = [
    ["graph (float32[2] x) => (y) {\n y = Relu(x", "expected , or ), found end of text (line 2)"],
    ["graph (float32[2] x) => (y) {\n y = Relu(z)\n}", "unknown tensor: z (node y)"],
    ["graph (float32[2] x) => (y) { y = Nope(x) }", "unknown op: Nope (node y)"],
    ["graph (float32[2] x) => (z) { y = Relu(x) }", "unknown tensor: z"],
    ["graph (float33[2] x) => () { }", "expected a type, found float33 (line 1)"],
    ["graph (float32[-2] x) => () { }", "expected a size, found -2 (line 1)"],
    ["graph (float32[2] x, float32[2] x) => () { }", "duplicate tensor: x"],
    ["graph (float32[2] x) => () { y = Relu(x) [y] z = Relu(x) }", "duplicate node: y (line 1)"],
    ["graph (constant float32[3] c = {1,2}) => () { }", "shape mismatch: 2 values for float32[3] (line 1)"],
    ["graph (float32[2] f, float32[2] w within f+4) => () { }", "tensor w ends at byte 12, outside of f"],
    ["graph () => () { ? }", 'unexpected character: "?" (line 1)'],
  ];
  for (const [text, message] of cases) assert.throws(() => parseGraph(text), { message });
});
