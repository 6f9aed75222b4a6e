import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph, printGraph } from "../../src/build/text.js";
import { tensorOf } from "../../src/graph/graph.js";
import { valuesOf } from "../../src/graph/values.js";

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

test("parseGraph(text) says in one line what is wrong and where", () => {
  const cases: readonly [text: string, message: string][] = [
    ["graph (float32[2] x) => (y) {\n y = Relu(x", "expected , or ), found end of text (line 2)"],
    ["graph (float32[2] x) => (y) {\n y = Relu(z)\n}", "unknown tensor: z (node y)"],
    [
      "graph (float32[2] x) => (y) { y = Nope(x) }",
      "unknown op: Nope (node y); export it as standard ONNX ops, of opset 7 to 24",
    ],
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

test("a tensor may be named like what stands around names: on, host, gradient", () => {
  const odd = `graph odd(float32[2] x) => (gradient) {
  host = Relu(x)
backward:
  gradient on = Relu(host)
  gradient on host = mutwo.SwapOut(on)
}
`;
  const graph = parseGraph(odd);
  assert.deepEqual([tensorOf(graph, "on").category, tensorOf(graph, "gradient").category], ["gradient", "temporary"]);
  assert.deepEqual([tensorOf(graph, "on").host, tensorOf(graph, "gradient").host], [undefined, true]);
  assert.equal(printGraph(graph), odd);
});
