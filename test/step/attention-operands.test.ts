import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { asOperand, leadOf, type Operand, Sources, viewOf } from "../../src/step/attention-operands.js";

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
    found.map((one) => [one.name, leadOf(one)]),
    [
      ["t", [2, 6]],
      ["c", [2, 6]],
      ["h", [2, 2]],
      ["k", [2, 2]],
    ],
  );
  const [product, own] = [found[0] as Operand, found.at(-1) as Operand];
  assert.deepEqual(viewOf(own, [2, 2], 5, 8), { offset: 0, strides: [80, 8, 16] });
  // as the product reads it the numbers of a head do not lie side by side
  assert.equal(viewOf(product, [2, 6], 5, 8), undefined);
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

test("viewOf(operand) reads batch and heads together or apart, and heads in groups as more rows", () => {
  const joined = asOperand("x", [6, 4, 8], "own");
  assert.deepEqual(leadOf(joined), [6, 1]);
  assert.deepEqual(viewOf(joined, [2, 3], 4, 8), { offset: 0, strides: [96, 32, 8] });
  const apart = asOperand("x", [2, 3, 4, 8], "own");
  assert.deepEqual(leadOf(apart), [2, 3]);
  assert.deepEqual(viewOf(apart, [6, 1], 4, 8), { offset: 0, strides: [32, 0, 8] });
  assert.deepEqual(viewOf(apart, [2, 6], 2, 8), { offset: 0, strides: [96, 16, 8] });
  assert.equal(viewOf(apart, [2, 3], 4, 4), undefined);
  assert.equal(viewOf(asOperand("x", [2, 3, 8, 4], "transposed"), [2, 3], 4, 8), undefined);
});

test("Sources.operand(name) goes through whatever moves elements to the tensor that they lie in", () => {
  const last = (body: string, name = "v"): Operand => {
    const graph = parseGraph(`graph g(float32[5,2,96] x) => (v) {\n${body}\n}`);
    return new Sources(graph).operand(name, "own").found.at(-1) as Operand;
  };
  const read = (body: string) => {
    const operand = last(body);
    return [operand.name, viewOf(operand, [2, 4], 5, 8)];
  };
  // three parts, positions before batch
  const strides = [96, 8, 192];
  assert.deepEqual(
    read(`a = Reshape(x, int64[4]{5,2,3,32})
  b = Transpose<perm=[2,0,1,3]>(a)
  c = Gather<axis=0>(b, int64[]{1})
  d = Reshape(c, int64[3]{5,8,8})
  e = Transpose<perm=[1,0,2]>(d)
  v = Reshape(e, int64[4]{2,4,5,8})`),
    ["x", { offset: 32, strides }],
  );
  assert.deepEqual(
    read(`a, b, c = Split<axis=-1>(x, int64[3]{32,32,32})
  d = Reshape(c, int64[4]{5,2,4,8})
  v = Transpose<perm=[1,2,0,3]>(d)`),
    ["x", { offset: 64, strides }],
  );
  // parts of each head
  assert.deepEqual(
    read(`a = Reshape(x, int64[4]{5,2,4,24})
  b = Slice(a, int64[1]{8}, int64[1]{16}, int64[1]{-1})
  v = Transpose<perm=[1,2,0,3]>(b)`),
    ["x", { offset: 8, strides: [96, 24, 192] }],
  );
  // what a computation makes is not moved
  assert.equal(
    last("a = Reshape(x, int64[4]{2,4,5,24})\n  b = Exp(a)\n  v = Slice(b, int64[1]{0}, int64[1]{8}, int64[1]{3})")
      .name,
    "b",
  );
});
