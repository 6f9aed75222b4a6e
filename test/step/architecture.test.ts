import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/parse.js";
import type { Graph } from "../../src/graph/graph.js";
import { differingArchitecture, namesIn } from "../../src/step/architecture.js";

const graph = (text: string, more = ""): Graph =>
  parseGraph(`graph n(float32[2,3] x, parameter float32[3,3] w${more}) => (y) { ${text} }`);

const first = graph("h = MatMul(x, w)  y = Softmax<axis=1>(h)");

const differenceTo = (other: Graph): string | undefined =>
  differingArchitecture([
    { name: "m0", graph: first },
    { name: "m1", graph: other },
  ]);

test("differingArchitecture(models) overlooks names, and what tensors hold", () => {
  const other = parseGraph(`graph other(float32[2,3] a, parameter float32[3,3] b) => (d) {
    c = MatMul(a, b)  d = Softmax<axis=1>(c)
  }`);
  assert.equal(differenceTo(other), undefined);
  assert.deepEqual(
    [...namesIn(first, other)],
    [
      ["x", "a"],
      ["w", "b"],
      ["h", "c"],
      ["y", "d"],
    ],
  );
});

test("differingArchitecture(models) names the first node that differs, and how", () => {
  const said = "m1 is built otherwise than m0: ";
  assert.equal(differenceTo(graph("y = MatMul(x, w)")), `${said}1 nodes, not 2`);
  assert.equal(differenceTo(graph("h = MatMul(x, w)  y = Tanh(h)")), `${said}node y (Tanh): not Softmax`);
  assert.equal(
    differenceTo(graph("h = MatMul(x, w)  y = Softmax<axis=0>(h)")),
    `${said}node y (Softmax): other attributes`,
  );
  assert.equal(differenceTo(graph("h = MatMul(x, w)  y = Softmax<axis=1>(x)")), `${said}node y (Softmax): reads x`);
  const wide = parseGraph(`graph n(float32[4,3] x, parameter float32[3,3] w) => (y) {
    h = MatMul(x, w)  y = Softmax<axis=1>(h)
  }`);
  assert.equal(differenceTo(wide), `${said}node h (MatMul): x is input float32[4,3], not input float32[2,3]`);
  assert.equal(differenceTo({ ...first, outputs: ["h"] }), `${said}other outputs`);
  assert.equal(differenceTo({ ...first, state: [{ before: "w", after: "h" }] }), `${said}other statistics`);
});
