import assert from "node:assert/strict";
import { test } from "node:test";
import { int, type Node, type Tensor } from "../../src/graph/graph.js";
import { bytesOf } from "../../src/graph/values.js";
import { callOf, ownOpset } from "../../src/ops/call.js";

const node: Node = {
  name: "n",
  domain: "",
  op: "Clip",
  inputs: ["x", "", "high"],
  outputs: ["y"],
  attributes: { axis: int(2) },
  phase: "forward",
};

const tensors = new Map<string, Tensor>([
  ["x", { name: "x", dtype: "float32", shape: [2], category: "input" }],
  ["high", { name: "high", dtype: "float32", shape: [], category: "constant", data: bytesOf("float32", [3]) }],
]);

test("callOf(node) tells absent inputs, constants and attributes apart", () => {
  const call = callOf(node, tensors);
  assert.equal(call.opset, ownOpset);
  assert.deepEqual(
    call.inputs.map((input) => input?.shape),
    [[2], undefined, []],
  );
  assert.deepEqual([call.constant(0), call.constant(1), call.constant(2)], [undefined, undefined, [3]]);
  assert.deepEqual([call.int("axis", 0), call.int("other", 7), call.ints("none")], [2, 7, undefined]);
});

test("callOf(node) says what is missing or of the wrong kind, and where", () => {
  const call = callOf(node, tensors);
  assert.throws(() => call.input(1), /^Error: Clip lacks input 1 \(node n\)$/);
  assert.throws(() => call.need(0), /^Error: Clip needs a constant input 0: x \(node n\)$/);
  assert.equal(call.needOne(2), 3);
  const two = { ...(tensors.get("high") as Tensor), shape: [2], data: bytesOf("float32", [3, 4]) };
  const several = callOf(node, new Map(tensors).set("high", two));
  assert.throws(() => several.needOne(2), /^Error: Clip needs one value: high has 2 \(node n\)$/);
  assert.throws(() => call.float("axis", 0), /^Error: attribute axis of Clip is int, not float \(node n\)$/);
  assert.throws(() => callOf({ ...node, inputs: ["lost"] }, tensors), /^Error: unknown tensor: lost \(node n\)$/);
});
