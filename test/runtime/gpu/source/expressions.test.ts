import assert from "node:assert/strict";
import { test } from "node:test";
import { ops } from "../../../../src/ops/index.js";
import type { Op } from "../../../../src/ops/op.js";
import { expressions, reductions } from "../../../../src/runtime/gpu/source/expressions.js";
import { channelSums } from "../../../../src/runtime/gpu/source/norm.js";

const fusible = (kind: Op["fusible"]): string[] =>
  [...ops]
    .flatMap(([op, { fusible, channelsFirst }]) =>
      fusible === kind && !channelsFirst ? [op.replace("mutwo:", "")] : [],
    )
    .sort();

test("expressions are those of the ops that fuse element by element", () => {
  // a cast's expression depends on the type that it casts to
  assert.deepEqual([...Object.keys(expressions), "Cast"].sort(), fusible("elements"));
});

test("sums over channels are those of the ops that fuse with what is around them", () => {
  assert.deepEqual(Object.keys(channelSums).sort(), fusible("channels"));
});

test("reductions are those of the ops that fuse row by row", () => {
  assert.deepEqual(Object.keys(reductions).sort(), fusible("rows"));
});
