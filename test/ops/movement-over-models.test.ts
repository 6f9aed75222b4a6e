import assert from "node:assert/strict";
import { test } from "node:test";
import { overThree } from "../fused.js";

test("axes behind the models' are counted on by one; where axis 0 moves, the models come first", () => {
  const { shapes } = overThree(`graph n(float32[2,3,4] x) => (d, e) {
    a = Transpose<perm=[1,0,2]>(x)
    b, c = Split<axis=2>(a, int64[2]{1,3})
    d = Concat<axis=-1>(c, b, b)
    e = Slice(d, int64[1]{-1}, int64[1]{-100}, int64[1]{0}, int64[1]{-2})
  }`);
  assert.deepEqual(shapes, ["Transpose [3,3,2,4]", "Split [3,3,2,1]", "Concat [3,3,2,5]", "Slice [3,2,2,5]"]);
});

test("repetitions leave the models' axis as it is", () => {
  const { shapes } = overThree(`graph n(float32[2,1] x) => (b) {
    a = Expand(x, int64[3]{5,2,3})
    b = Tile(a, int64[3]{1,2,1})
  }`);
  assert.deepEqual(shapes, ["Expand [3,5,2,3]", "Tile [3,5,4,3]"]);
});
