import assert from "node:assert/strict";
import { test } from "node:test";
import { checkedTypes } from "../../src/build/checked-types.js";
import type { Node, Tensor } from "../../src/graph/graph.js";

const tensors = new Map<string, Tensor>(
  [
    ["x", [2, 3]],
    ["w", [4, 5]],
    ["v", [3, 5]],
  ].map(([name, shape]) => [
    name as string,
    { name: name as string, dtype: "float32", shape: shape as number[], category: "input" },
  ]),
);

const product = (inputs: readonly string[]): Node => ({
  name: "n",
  domain: "",
  op: "MatMul",
  inputs,
  outputs: ["y"],
  attributes: {},
  phase: "forward",
});

test("checkedTypes(node) are those of its outputs", () => {
  assert.deepEqual(checkedTypes(product(["x", "v"]), tensors, undefined), [{ dtype: "float32", shape: [2, 5] }]);
});

test("checkedTypes(node) that do not fit: an error with the node, its op and the types of its inputs", () => {
  const fails = (inputs: readonly string[], pattern: RegExp): void =>
    assert.throws(() => checkedTypes(product(inputs), tensors, 18), pattern);
  fails(["x", "w"], /^Error: .*\(node n: MatMul of x float32\[2,3\], w float32\[4,5\]\)$/);
  fails(["x", ""], /\(node n: MatMul of x float32\[2,3\], none\)$/);
});
