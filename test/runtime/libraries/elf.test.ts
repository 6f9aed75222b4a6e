import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { readElf } from "../../../src/runtime/libraries/elf.js";
import { bundledLibrary } from "../../../src/runtime/libraries/ort-library.js";
import { elf } from "./elf-bytes.js";

const root = mkdtempSync(path.join(tmpdir(), "mutwo-elf-"));

after(() => rmSync(root, { recursive: true }));

test("readElf(file) reads name and needs of a library, made up or real", () => {
  const place = path.join(root, "libtest.so.1");
  writeFileSync(place, elf("libtest.so.1", ["libone.so.2", "libtwo.so"]));
  assert.deepEqual(readElf(place), { soname: "libtest.so.1", needed: ["libone.so.2", "libtwo.so"] });
  if (process.platform === "linux") {
    const { soname, needed } = readElf(bundledLibrary());
    assert.equal(soname, "libonnxruntime.so.1");
    assert.ok(needed.includes("libstdc++.so.6"));
  }
  for (const bytes of [Buffer.from("not a library at all"), elf("libtest.so.1").subarray(0, 100), Buffer.alloc(64)]) {
    writeFileSync(place, bytes);
    assert.throws(() => readElf(place), /^Error: not a shared library: .*libtest\.so\.1 \(/);
  }
});

test("readElf(file) refuses a library that is cut off", { skip: process.platform !== "linux" }, () => {
  const place = path.join(root, "libcut.so.1");
  const whole = readFileSync(bundledLibrary());
  writeFileSync(place, whole);
  assert.equal(readElf(place).soname, "libonnxruntime.so.1");
  truncateSync(place, whole.length - 1000);
  assert.throws(() => readElf(place), /^Error: not a shared library: .*libcut\.so\.1 \(ends too early\)$/);
});

test("readElf(file) of a library without a name of its own", () => {
  const place = path.join(root, "libnameless.so");
  const bytes = elf("libnameless.so", ["libone.so.2"]);
  const dynamicAt = 64 + 2 * 56;
  bytes.writeBigUInt64LE(1n, dynamicAt + 16); // the second entry says the name: let it be a need
  writeFileSync(place, bytes);
  assert.deepEqual(readElf(place), { soname: undefined, needed: ["libnameless.so", "libone.so.2"] });
});
