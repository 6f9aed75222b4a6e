import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { Sources } from "../../src/step/attention-operands.js";

test("Sources.operand(name) finds the keys that groups of heads share behind their copies", () => {
  const graph = parseGraph(`graph g(float32[2,5,2,8] k) => (t) {
  h = Transpose<perm=[0,2,1,3]>(k)
  a = Reshape(h, int64[5]{2, 2, 1, 5, 8})
  b = Expand(a, int64[5]{2, 2, 3, 5, 8})
  c = Reshape(b, int64[4]{2, 6, 5, 8})
  t = Transpose<perm=[0,1,3,2]>(c)
}`);
  const { found, factor, name } = new Sources(graph).operand("t", "transposed");
  assert.deepEqual(
    found.map((one) => [one.name, one.positionAxis, one.lead]),
    [
      ["c", 2, [2, 6]],
      ["h", 2, [2, 2]],
      ["k", 1, [2, 2]],
    ],
  );
  assert.deepEqual([factor, name], [1, "t"]);
});

test("Sources.operand(name) stops at what is neither a transpose, a factor, a cast nor a view", () => {
  const graph = parseGraph(`graph g(float32[2,3,4,8] q, float32[8] w) => (c) {
  a = Mul(q, w)
  b = Cast<to=10>(a)
  c = Mul(b, float16[]{0.5})
}`);
  const { found, factor } = new Sources(graph).operand("c", "own");
  assert.deepEqual(
    found.map(({ name }) => name),
    ["b", "a"],
  );
  assert.equal(factor, 0.5);
  const kept = new Sources(graph).operand("c", "own", false);
  assert.deepEqual(
    kept.found.map(({ name }) => name),
    ["c"],
  );
});
