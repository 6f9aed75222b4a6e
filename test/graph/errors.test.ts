import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { NodeError } from "../../src/graph/errors.js";
import { lower } from "../../src/step/lower.js";

const fc = { name: "fc" };

test("new NodeError(what, node) is a line that names the node, with detail and hint where they are given", () => {
  assert.equal(String(new NodeError("no gradient: Foo", fc)), "Error: no gradient: Foo (node fc)");
  const { message, what, node, kind } = new NodeError("shape mismatch: [2] for [3]", fc, {
    detail: "Add of x, y",
    hint: "pass equal shapes",
  });
  assert.equal(message, "shape mismatch: [2] for [3] (node fc: Add of x, y); pass equal shapes");
  assert.deepEqual([what, node, kind], ["shape mismatch: [2] for [3]", "fc", undefined]);
});

test("NodeError.of(error, node) names the node where the error names none, and is the error itself where it does", () => {
  const own = new NodeError("no gradient: Foo", fc);
  assert.equal(NodeError.of(own, { name: "caller" }), own);
  const plain = new Error("it broke");
  const named = NodeError.of(plain, fc);
  assert.deepEqual([named.message, named.cause], ["it broke (node fc)", plain]);
});

test("Builder.infer(node) names the node once, with its op and inputs", () => {
  assert.throws(() => parseGraph("graph(float32[2,3] x, float32[4,5] w) => (y) { y = MatMul(x, w) }"), {
    message: "shape mismatch: [2,3] times [4,5] (node y: MatMul of x float32[2,3], w float32[4,5])",
    what: "shape mismatch: [2,3] times [4,5]",
    node: "y",
  });
});

test("lower(graph) throws kind 'no kernel' where there is neither kernel nor body: verify decides by it", () => {
  const graph = parseGraph("graph(float32[2,3] x, float32[3,5] w) => (y) { y = MatMul(x, w) }");
  assert.throws(() => lower(graph, () => false), {
    message: "no kernel: MatMul float32 (node y)",
    kind: "no kernel",
    node: "y",
  });
});
