import assert from "node:assert/strict";
import { test } from "node:test";
import { ops } from "../../../../src/ops/index.js";
import { expressions, reductions } from "../../../../src/runtime/gpu/source/expressions.js";

const fusible = (kind: "elements" | "rows"): string[] =>
  [...ops].flatMap(([op, record]) => (record.fusible === kind ? [op] : [])).sort();

test("expressions are those of the ops that fuse element by element", () => {
  // a cast's expression depends on the type that it casts to
  assert.deepEqual([...Object.keys(expressions), "Cast"].sort(), fusible("elements"));
});

test("reductions are those of the ops that fuse row by row", () => {
  assert.deepEqual(Object.keys(reductions).sort(), fusible("rows"));
});
