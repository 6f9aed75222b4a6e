import assert from "node:assert/strict";
import { test } from "node:test";
import { dimensionExpression } from "../../src/model/dimension-expressions.js";

const dims = { batch: 3, seq: 8, s0: 7 };

const size = (text: string): number | undefined => dimensionExpression(text, () => false)?.size(dims);

test("dimensionExpression(text) reads the arithmetic that exporters write", () => {
  for (const [text, expected] of [
    ["batch*seq", 24],
    ["2*batch", 6],
    ["batch + 1", 4],
    ["-1 + seq", 7],
    ["seq - batch - 1", 4],
    ["(seq + 1)*2", 18],
    ["floor(s0/2)", 3],
    ["ceil(s0 / 2) * 2", 8],
    ["s0//2 + 1", 4],
    ["Max(1, batch)", 3],
    ["2**batch", 8],
    ["FloorDiv(s0, 2)", 3],
    ["seq % 3", 2],
  ] as const)
    assert.equal(size(text), expected, text);
  assert.equal(size("batch*other"), undefined);
  assert.deepEqual(dimensionExpression("2*batch + seq*batch", () => false)?.names, ["batch", "seq"]);
});

test("dimensionExpression(text) leaves plain names alone", () => {
  for (const text of [
    "batch",
    "unk__22",
    "batch-size",
    "N/A",
    "dim-0",
    "x.0",
    "a b",
    "2",
    "",
    "a + ",
    "f(x)",
    "ä",
    "(((",
  ])
    assert.equal(
      dimensionExpression(text, () => false),
      undefined,
      text,
    );
  assert.equal(dimensionExpression("seq-1", (name) => name === "seq")?.size(dims), 7);
  assert.equal(
    dimensionExpression(`${"(".repeat(1000)}batch${")".repeat(1000)}`, () => true),
    undefined,
  );
});
