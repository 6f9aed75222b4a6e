import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import { readSafetensors, writeSafetensors } from "../../src/model/safetensors.js";

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

const written = (header: unknown, dataBytes: number): string => {
  const file = path.join(folder, "written.safetensors");
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(file, Buffer.concat([length, text, Buffer.alloc(dataBytes)]));
  return file;
};

const entry = (dtype: string, shape: unknown, data_offsets: unknown): object => ({ dtype, shape, data_offsets });

test("readSafetensors refuses headers that do not fit the data", () => {
  const cases: readonly [header: unknown, message: RegExp][] = [
    ["{{", /^not a safetensors file: /],
    ["[]", /^not a safetensors file: /],
    [{ a: null }, /^safetensors entry without element type: a \(.*\)$/],
    [{ a: entry("constructor", [2], [0, 8]) }, /^unknown element type in safetensors: constructor \(a\)$/],
    [{ "a\nb": entry("F32", [-2], [0, 8]) }, /^safetensors entry without shape: a\\nb /],
    [{ a: entry("F32", [2], [0, 16]) }, /^safetensors entry outside the file: a /],
    [{ a: entry("F32", [2], [-4, 4]) }, /^safetensors entry outside the file: a /],
    [{ a: entry("F32", [2], ["0", "8"]) }, /^safetensors entry outside the file: a /],
    [{ a: entry("F32", [3], [0, 8]) }, /^safetensors entry a has 8 bytes for float32\[3\] /],
    [{ a: entry("F32", [2], [0, 8]), b: entry("F32", [2], [4, 12]) }, /^overlapping safetensors entry: b /],
  ];
  for (const [header, message] of cases) assert.throws(() => readSafetensors(written(header, 12)), { message });
});

test("readSafetensors skips metadata and reads empty tensors beside others", () => {
  const header = { __metadata__: { format: "pt" }, a: entry("F32", [0, 3], [0, 0]), b: entry("BOOL", [2], [0, 2]) };
  const read = readSafetensors(written(header, 2));
  assert.deepEqual(read.get("a"), { dtype: "float32", shape: [0, 3], data: new Uint8Array(0) });
  assert.deepEqual(read.get("b"), { dtype: "bool", shape: [2], data: new Uint8Array(2) });
  assert.equal(read.size, 2);
});
