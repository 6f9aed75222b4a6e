import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { rematerialize } from "../../src/step/rematerialize.js";
import { linesOf } from "../lines.js";

/** A forward chain of element-wise nodes and what its backward phase reads. */
const chain = (backward: string, size = "4,8") =>
  parseGraph(`graph g(float32[${size}] x, parameter float32[8,8] w) => (y) {
  h = MatMul(x, w)
  a = Exp(h)
  b = Sin(a)
  c = Cos(b)
backward:
  ${backward}
}`);

test("rematerialize(graph) makes what element-wise readers need again from one saved tensor, once for each reader", () => {
  const graph = rematerialize(chain("d = Mul(a, b)\n  e = Mul(d, c)\n  y = Mul(e, h)"));
  assert.deepEqual(linesOf(graph, "backward"), [
    "  a@again1 = Exp(h)",
    "  b@again2 = Sin(a@again1)",
    "  d = Mul(a@again1, b@again2)",
    "  a@again3 = Exp(h)",
    "  b@again4 = Sin(a@again3)",
    "  c@again5 = Cos(b@again4)",
    "  e = Mul(d, c@again5)",
    "  y = Mul(e, h)",
  ]);
});

test("rematerialize(graph) saves one tensor where that is no more than what it is made from", () => {
  assert.deepEqual(linesOf(rematerialize(chain("y = Exp(c)")), "backward"), ["  y = Exp(c)"]);
});

test("rematerialize(graph) gives a matrix product a copy of its own for a large tensor only", () => {
  const backward = "d = MatMul(b, w)\n  y = Mul(d, h)";
  assert.deepEqual(linesOf(rematerialize(chain(backward)), "backward"), ["  d = MatMul(b, w)", "  y = Mul(d, h)"]);
  assert.deepEqual(linesOf(rematerialize(chain(backward, "131072,8")), "backward"), [
    "  a@again1 = Exp(h)",
    "  b@again2 = Sin(a@again1)",
    "  d = MatMul(b@again2, w)",
    "  y = Mul(d, h)",
  ]);
});

test("rematerialize(graph) saves what a state is made of before it is renewed", () => {
  const graph = parseGraph(`graph g(float32[4] x, buffer float32[4] mean) => (y) {
  a = Mul(x, mean)
  b = Exp(a)
  buffer next = Add(mean, x)
backward:
  y = Mul(b, a)
  state mean -> next
}`);
  // a is saved, for mean is renewed by then; b is made from it
  assert.deepEqual(linesOf(rematerialize(graph), "backward").slice(0, 2), [
    "  b@again1 = Exp(a)",
    "  y = Mul(b@again1, a)",
  ]);
});
