import assert from "node:assert/strict";
import { test } from "node:test";
import { compressed, compressedBeside, decompressed, packed } from "../../src/report/page-data.js";
import { unpacked } from "../page-data.js";

const value = {
  names: ["a", "b", "a", "</script>", "a", "\n"],
  few: ["x"],
  ranks: [5, 6, 7, 7, 3, -2, 2 ** 50],
  times: [0.1234567891, 2, null, 3],
  mixed: ["a", null, "b", "c", "d"],
  nested: [{ list: [1, 2, 3, 4], yes: true, none: null }],
  empty: [],
};

test("packed(value) is read by the page as it was, but for digits that nobody reads", () => {
  const text = JSON.stringify(packed(value));
  assert.deepEqual(unpacked(text), { ...value, times: [0.123457, 2, null, 3] });
});

test("packed(value) holds each text of a list once, and whole numbers as differences", () => {
  const { texts, value: body } = packed(value);
  assert.deepEqual(texts, ["a", "b", "</script>", "\n"]);
  assert.deepEqual((body as { ranks: unknown }).ranks, { deltas: [5, 1, 1, 0, -4, -5, 2 ** 50 + 2] });
});

test("compressed(text) comes back as it was, and holds nothing that ends an element", () => {
  const text = "</script>é".repeat(1000);
  assert.match(compressed(text), /^[\w+/=]{1,400}$/);
  assert.equal(decompressed(compressed(text)), text);
});

test("compressedBeside(text) is compressed(text), of short and of long texts, and leaves the caller free meanwhile", async () => {
  for (const count of [1000, 2 ** 20]) {
    const text = "</script>é".repeat(count);
    let isDone = false;
    const made = compressedBeside(text).finally(() => {
      isDone = true;
    });
    assert.equal(isDone, false);
    assert.equal(await made, compressed(text));
  }
});
