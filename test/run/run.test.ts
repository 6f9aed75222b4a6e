import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { writeFolder } from "../../src/run/folder.js";
import { newRunId, readRun } from "../../src/run/run.js";

const folder = (): string => mkdtempSync(path.join(tmpdir(), "mutwo-run-"));

test("writeFolder(folder, fill) leaves nothing behind when fill fails", async () => {
  const parent = folder();
  const failing = writeFolder(path.join(parent, "run"), async (temporary) => {
    writeFileSync(path.join(temporary, "half"), "written");
    throw new Error("stopped in the middle");
  });
  await assert.rejects(failing, /stopped in the middle/);
  assert.deepEqual(readdirSync(parent), []);
});

test("writeFolder(folder, fill) reports a full disk in one line", async () => {
  const parent = folder();
  const full = writeFolder(path.join(parent, "run"), async () => {
    throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  });
  await assert.rejects(full, /^Error: disk full: /);
  assert.deepEqual(readdirSync(parent), []);
});

test("writeFolder(folder, fill) does not show the folder before it is complete", async () => {
  const parent = folder();
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

test("readRun(file) refuses what is not a whole run of this version, in one line", () => {
  const file = (text: string): string => {
    const name = path.join(folder(), "run.json");
    writeFileSync(name, text);
    return name;
  };
  assert.throws(() => readRun("/nonexistent/run.json"), /cannot read run: .* \(ENOENT\)/);
  assert.throws(() => readRun(file('{"format": "mutwo-run", "ver')), /not JSON or is truncated/);
  assert.throws(() => readRun(file('{"a": 1}')), /not a mutwo run/);
  assert.throws(() => readRun(file('{"format": "mutwo-run", "version": 99}')), /format version 99/);
  assert.throws(() => readRun(file('{"format": "mutwo-run", "version": 1}')), /contradicts itself: no graph/);
});

test("newRunId(model) names time and model", () => {
  const id = newRunId("folder/my model.onnx", new Date("2026-01-02T03:04:05Z"));
  assert.match(id, /^20260102-030405-my_model-[0-9a-f]{4}$/);
});
