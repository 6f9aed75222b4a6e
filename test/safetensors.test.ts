import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { readSafetensors, writeSafetensors } from "../src/safetensors.js";
import { bytesOf, valuesOf } from "../src/values.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-safetensors-"));
const values = new Map([
  ["a", { dtype: "float32" as const, shape: [2, 2], data: bytesOf("float32", [1, 2, 3, 4]) }],
  ["b", { dtype: "int64" as const, shape: [], data: bytesOf("int64", [-7]) }],
]);

test("writeSafetensors and readSafetensors are inverse", () => {
  const file = path.join(folder, "two.safetensors");
  writeSafetensors(file, values);
  const read = readSafetensors(file);
  assert.deepEqual([...read.keys()], ["a", "b"]);
  assert.deepEqual(read.get("a")?.shape, [2, 2]);
  assert.deepEqual(valuesOf("int64", read.get("b")?.data as Uint8Array), [-7]);
});

test("readSafetensors says in one line what is wrong with a file", () => {
  const file = path.join(folder, "bad.safetensors");
  writeSafetensors(file, values);
  const whole = readFileSync(file);
  assert.throws(() => readSafetensors(path.join(folder, "none")), /cannot read safetensors: .* \(ENOENT\)/);
  for (const length of [0, 7, 20, whole.length - 1]) {
    writeFileSync(file, whole.subarray(0, length));
    assert.throws(() => readSafetensors(file), /^Error: (not a safetensors file|safetensors entry)[^\n]*$/);
  }
});
