import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import type { Value } from "../../src/graph/values.js";
import { writeSafetensors } from "../../src/model/safetensors.js";
import { readState, writeState } from "../../src/train/state-file.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-state-"));

after(() => rmSync(folder, { recursive: true }));

const tensors = new Map<string, Value>([
  ["w", { dtype: "float32", shape: [2], data: Uint8Array.of(0, 0, 128, 63, 0, 0, 0, 64) }],
]);

test("readState(file) gives what writeState(file, state) was given", () => {
  const file = path.join(folder, "state.safetensors");
  writeState(file, { steps: 12, learningRate: 3e-4, tensors }, "sum");
  assert.deepEqual(readState(file), { steps: 12, learningRate: 3e-4, tensors });
  assert.throws(() => writeState(path.join(folder, "none", "x"), { steps: 0, learningRate: 1, tensors }, ""), {
    message: `cannot write ${path.join(folder, "none", "x")} (ENOENT)`,
  });
});

test("readState(file) refuses files that are none in one line", () => {
  const file = path.join(folder, "other.safetensors");
  const cases: [Record<string, string>, RegExp][] = [
    [{}, /^Error: not a state of a trainer: /],
    [{ "mutwo-state": "{" }, /^Error: state of a trainer is damaged: /],
    [{ "mutwo-state": '{"version":1}' }, /^Error: state of a trainer is damaged: steps/],
  ];
  for (const [metadata, message] of cases) {
    writeSafetensors(file, tensors, metadata);
    assert.throws(() => readState(file), message);
  }
});
