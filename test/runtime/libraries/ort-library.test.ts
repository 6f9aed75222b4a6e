import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, afterEach, test } from "node:test";
import {
  bundledLibrary,
  bundledVersion,
  coreLibrary,
  holdsProvider,
  installedFolder,
  ortLibrary,
  providerFiles,
} from "../../../src/runtime/libraries/ort-library.js";

const root = mkdtempSync(path.join(tmpdir(), "mutwo-ort-"));
const before = process.env.ORT_LIBRARY;

afterEach(() => {
  if (before === undefined) delete process.env.ORT_LIBRARY;
  else process.env.ORT_LIBRARY = before;
});

after(() => rmSync(root, { recursive: true }));

test("bundledLibrary() is there, of the version in whose folder the provider is installed", () => {
  assert.ok(existsSync(bundledLibrary()));
  assert.match(bundledVersion(), /^\d+\.\d+\.\d+$/);
  assert.equal(path.basename(installedFolder()), `onnxruntime-${bundledVersion()}-cuda`);
});

test("ortLibrary() is the file that ORT_LIBRARY names; one that is not there is refused", () => {
  process.env.ORT_LIBRARY = path.join(root, "own.so");
  assert.throws(ortLibrary, { message: `no ONNX Runtime library: ${path.join(root, "own.so")}` });
  writeFileSync(path.join(root, "own.so"), "");
  assert.equal(ortLibrary(), path.join(root, "own.so"));
});

test("holdsProvider(folder) wants the provider's two files and the core library beside them", () => {
  const files = [...providerFiles, coreLibrary];
  for (const file of files) {
    assert.equal(holdsProvider(root), false);
    writeFileSync(path.join(root, file), "");
  }
  assert.equal(holdsProvider(root), true);
});
