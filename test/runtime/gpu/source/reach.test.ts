import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../../src/build/text.js";
import { fullNodesFor, levelsOf, reachesOf } from "../../../../src/runtime/gpu/source/reach.js";

const shape = [3, 4];

// a scaled softmax along the last axis
const body = parseGraph(`graph(float32[3,4] x, float32[1] s) => (y, z) {
  scaled = Mul(x, s)
  most = ReduceMax<axes=[-1], keepdims=1>(scaled)
  shifted = Sub(scaled, most)
  e = Exp(shifted)
  sum = ReduceSum<keepdims=1>(e, int64[1]{-1})
  y = Div(e, sum)
  z = Log(sum)
}`);

test("reachesOf(softmax over rows): what differs from column to column is full", () => {
  const reach = reachesOf(body, ["x", "s"], shape, 1);
  const names = ["x", "s", "scaled", "most", "shifted", "e", "sum", "y", "z"];
  assert.deepEqual(
    names.map((name) => reach.get(name)),
    ["full", "constant", "full", "row", "full", "full", "row", "full", "row"],
  );
});

test("levelsOf(softmax) counts the reductions before each value", () => {
  const level = levelsOf(body);
  assert.deepEqual(
    ["scaled", "most", "shifted", "e", "sum", "y", "z"].map((name) => level.get(name)),
    [0, 1, 1, 1, 2, 2, 2],
  );
});

test("fullNodesFor(results) are the nodes that make full values for them, in order", () => {
  const reach = reachesOf(body, ["x", "s"], shape, 1);
  const outputs = (names: string[]): (string | undefined)[] =>
    fullNodesFor(names, body, reach).map((node) => node.outputs[0]);
  assert.deepEqual(outputs(["e"]), ["scaled", "shifted", "e"]);
  assert.deepEqual(outputs(["scaled"]), ["scaled"]);
  assert.deepEqual(outputs(["z"]), []);
});
