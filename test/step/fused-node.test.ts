import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { fusedBody } from "../../src/ops/fused.js";
import { write } from "../../src/step/fused-node.js";

/** All nodes of a graph over [2,3] as one; the outputs of the graph leave it. */
function written(text: string, inputs = "float32[2,3] x, float32[3] z") {
  const graph = parseGraph(`graph(${inputs}) => ${text}`);
  const group = { members: graph.nodes.map((_, rank) => rank), shape: [2, 3] };
  const node = write(graph, group, (name) => graph.outputs.includes(name));
  const { nodes, constants, inPlace } = fusedBody(node);
  const lines = nodes.map(({ op, inputs: from, outputs }) => `${outputs} = ${op}(${from})`);
  return { node, lines, constants, inPlace };
}

test("write(group) names what is read x0…, what leaves y0…, and what stays inside t0…", () => {
  const { node, lines } = written("(y) { h = Mul(x, z) y = Exp(h) }");
  assert.deepEqual(lines, ["t0 = Mul(x0,x1)", "y0 = Exp(t0)"]);
  assert.deepEqual([node.op, node.inputs, node.outputs], ["Fused", ["x", "z"], ["y"]]);
  assert.equal(node.attributes.ops?.value, "Mul Exp");
});

test("write(group) takes small constants in, and reads large ones", () => {
  const { node, lines, constants } = written("(y) { h = Mul(x, float32[]{2}) y = Add(h, float32[3]{1,2,3}) }");
  assert.deepEqual(lines, ["t0 = Mul(x0,c0)", "y0 = Add(t0,x1)"]);
  assert.equal(node.inputs.length, 2);
  assert.deepEqual(constants, { c0: { dtype: "float32", shape: [], dataBase64: "AAAAQA==" } });
});

test("write(group) writes equal members once, an output of its own apart", () => {
  assert.deepEqual(written("(y) { a = Exp(x) b = Exp(x) y = Add(a, b) }").lines, ["t0 = Exp(x0)", "y0 = Add(t0,t0)"]);
  assert.deepEqual(written("(y, b) { a = Exp(x) b = Exp(x) y = Add(a, b) }").lines.length, 3);
});

test("write(group) may write an output over full inputs of its type alone", () => {
  assert.deepEqual(written("(y) { h = Mul(x, z) y = Exp(h) }").inPlace, [[0]]);
  assert.deepEqual(written("(y) { y = Greater(x, z) }").inPlace, [[]]);
  assert.deepEqual(written("(y) { y = Add(x, z) }", "float32[2,3] x, float32[2,3] z").inPlace, [[0, 1]]);
});

test("write(group) hands a vector of the channels over apart from the same one along the last axis", () => {
  const { node, lines } = written("(y) { h = mutwo.BatchNormalizationApply(x, z, z, z, z) y = Mul(h, z) }");
  assert.deepEqual(lines, ["t0 = BatchNormalizationApply(x0,x1,x1,x1,x1)", "y0 = Mul(t0,x2)"]);
  assert.deepEqual(node.inputs, ["x", "z", "z"]);
});

test("write(group) names those of several results that leave it, and those that do not", () => {
  const { node, lines } = written(
    "(y, ds) { y = Neg(x) a, b, c, ds, db = mutwo.BatchNormalizationGradientSums(y, x, z, z, z) }",
  );
  assert.equal(lines[1], "t0,t1,t2,y1,t3 = BatchNormalizationGradientSums(y0,x0,x1,x1,x1)");
  assert.deepEqual(node.outputs, ["y", "ds"]);
});
