import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph, printGraph } from "../../src/build/text.js";
import type { Graph } from "../../src/graph/graph.js";
import { readModel } from "../../src/model/read.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { trainingStep } from "../../src/step/training.js";
import { at } from "../at.js";

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
    // a graph's text does not say where its nodes come from
    const { origins: _, ...model } = readModel(at("fixtures", file), { runtime }).graph;
    const graph: Graph = trainingStep(model, { loss: file.startsWith("mlp") ? "mse" : "ce", optimizer: "adam" });
    const again = parseGraph(printGraph(graph, { maxElements: Number.POSITIVE_INFINITY }));
    assert.deepEqual(again.nodes, graph.nodes);
    assert.deepEqual(again, graph);
  }
});
