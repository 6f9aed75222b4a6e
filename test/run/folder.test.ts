import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { checkWritable, writeFolder } from "../../src/run/folder.js";

const newFolder = (): string => mkdtempSync(path.join(tmpdir(), "mutwo-run-"));

test("writeFolder(folder, fill) leaves nothing behind when fill fails", async () => {
  const parent = newFolder();
  const failing = writeFolder(path.join(parent, "run"), async (temporary) => {
    writeFileSync(path.join(temporary, "half"), "written");
    throw new Error("stopped in the middle");
  });
  await assert.rejects(failing, /stopped in the middle/);
  assert.deepEqual(readdirSync(parent), []);
});

test("writeFolder(folder, fill) reports a full disk in one line", async () => {
  const parent = newFolder();
  const full = writeFolder(path.join(parent, "run"), async () => {
    throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  });
  await assert.rejects(full, /^Error: disk full: /);
  assert.deepEqual(readdirSync(parent), []);
});

test("writeFolder(folder, fill) does not show the folder before it is complete", async () => {
  const parent = newFolder();
  const target = path.join(parent, "run");
  await writeFolder(target, async (temporary) => {
    writeFileSync(path.join(temporary, "a"), "a");
    assert.equal(existsSync(target), false);
  });
  assert.deepEqual(readdirSync(target), ["a"]);
  await assert.rejects(
    writeFolder(target, async () => {}),
    /output folder exists/,
  );
});

test("writeFolder(folder, fill) says which folder cannot be written", async () => {
  const file = path.join(newFolder(), "file");
  writeFileSync(file, "");
  await assert.rejects(
    writeFolder(path.join(file, "run"), async () => {}),
    { message: `output folder not writable: ${file} (EEXIST)` },
  );
  const readOnly = writeFolder(path.join(newFolder(), "run"), async () => {
    throw Object.assign(new Error("EROFS: read-only file system, open"), { code: "EROFS" });
  });
  await assert.rejects(readOnly, /^Error: output folder not writable: .*\/run \(EROFS\)$/);
});

test("checkWritable(folder) asks the nearest folder that is there, and leaves nothing in it", () => {
  const parent = newFolder();
  checkWritable(parent);
  checkWritable(path.join(parent, "a/b/c"));
  assert.deepEqual(readdirSync(parent), []);
});

test("checkWritable(folder) throws what a caller makes of the reason", () => {
  const file = path.join(newFolder(), "file");
  writeFileSync(file, "");
  const below = path.join(file, "a/b");
  assert.throws(() => checkWritable(below), { message: `output folder not writable: ${below} (ENOTDIR)` });
  assert.throws(
    () => checkWritable(below, ({ code }) => new Error(`no place (${code})`)),
    /^Error: no place \(ENOTDIR\)$/,
  );
});
