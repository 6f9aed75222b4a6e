import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { notedSums, noteSums, sumOf, sumsFile } from "../../src/commands/sums.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-sums-"));
after(() => rmSync(folder, { recursive: true }));

// SHA-256 of "abc" (FIPS 180-4)
const abc = { bytes: 3, sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" };

test("sumOf(file) is its size and SHA-256; noteSums(folder) notes them, and notedSums(folder) reads them back", async () => {
  writeFileSync(path.join(folder, "a.so"), "abc");
  writeFileSync(path.join(folder, "b.so"), "");
  assert.deepEqual(await sumOf(path.join(folder, "a.so")), abc);
  assert.deepEqual(notedSums(folder), {});
  const said = `warning: not pinned, no SHA-256 is known beforehand: a.so has 3 bytes, SHA-256 ${abc.sha256}`;
  assert.equal(await noteSums(folder, ["a.so", "b.so"]), said);
  const noted = notedSums(folder);
  assert.deepEqual([Object.keys(noted), noted["a.so"], noted["b.so"]?.bytes], [["a.so", "b.so"], abc, 0]);
});

test("notedSums(folder) takes a note that cannot be read for none", () => {
  for (const text of ["{", "[]", '{"a.so": {"bytes": "3"}}', "null"]) {
    writeFileSync(path.join(folder, sumsFile), text);
    assert.deepEqual(notedSums(folder), {}, text);
  }
});
