import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { copyWith, writePieces } from "../../src/model/copies.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-copies-"));

after(() => rmSync(folder, { recursive: true }));

test("copyWith(file, target) copies with some bytes replaced, also across the pieces that it reads at once", () => {
  const [source, target] = ["source", "target"].map((name) => path.join(folder, name)) as [string, string];
  const bytes = Buffer.alloc(2 ** 24 + 100, 3);
  writeFileSync(source, bytes);
  const patches = [
    { offset: 2 ** 24 - 2, bytes: Uint8Array.of(1, 2, 4, 5) },
    { offset: 0, bytes: Uint8Array.of(9) },
    { offset: bytes.length - 1, bytes: Uint8Array.of(8) },
  ];
  copyWith({ source, patches }, target);
  for (const { offset, bytes: other } of patches) bytes.set(other, offset);
  assert.equal(Buffer.compare(readFileSync(target), bytes), 0);
  assert.throws(
    () => copyWith({ source: path.join(folder, "none"), patches }, target),
    /^Error: cannot read external data: .*ENOENT/,
  );
});

test("writePieces(file, pieces) writes them one after the other", () => {
  const file = path.join(folder, "pieces");
  writePieces(file, [Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(3)]);
  assert.deepEqual([...readFileSync(file)], [1, 2, 3]);
});
