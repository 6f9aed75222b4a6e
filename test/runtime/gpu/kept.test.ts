import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { cachedBytes } from "../../../src/runtime/gpu/kept.js";

const root = mkdtempSync(path.join(os.tmpdir(), "mutwo-kept-"));

after(() => rmSync(root, { recursive: true }));

/** Code that says how often it was built. */
const builder = () => {
  let count = 0;
  return () => new Uint8Array([1, 2, ++count]);
};

test("cachedBytes(key) builds once; another key, or a file that is damaged, is built again", () => {
  const folder = path.join(root, "kernels");
  const build = builder();
  assert.deepEqual([...cachedBytes(folder, ["a", "b"], build)], [1, 2, 1]);
  assert.deepEqual([...cachedBytes(folder, ["a", "b"], build)], [1, 2, 1]);
  const [file] = readdirSync(folder).map((name) => path.join(folder, name)) as [string];
  assert.deepEqual([...cachedBytes(folder, ["a", "c"], build)], [1, 2, 2]);
  writeFileSync(file, readFileSync(file).subarray(0, 34));
  assert.deepEqual([...cachedBytes(folder, ["a", "b"], build)], [1, 2, 3]);
  assert.deepEqual([...cachedBytes(folder, ["a", "b"], build)], [1, 2, 3]);
});

test("cachedBytes(key) where no folder can be made builds each time", () => {
  const file = path.join(root, "a file");
  writeFileSync(file, "");
  const build = builder();
  assert.deepEqual([...cachedBytes(file, ["a"], build)], [1, 2, 1]);
  assert.deepEqual([...cachedBytes(file, ["a"], build)], [1, 2, 2]);
});
