import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { installKernel } from "../../src/notebook/install.js";
import { at } from "../at.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-test-"));

after(() => rmSync(folder, { recursive: true }));

const dataDir = path.join(folder, "jupyter");

test("installKernel({dataDir}) writes a kernel.json that starts the launcher", () => {
  const file = installKernel({ dataDir });
  assert.equal(file, path.join(dataDir, "kernels/mutwo/kernel.json"));
  assert.deepEqual(JSON.parse(readFileSync(file, "utf8")), {
    argv: [process.execPath, at("../src/notebook/tslab.cjs"), "kernel", "--config-path", "{connection_file}"],
    display_name: "TypeScript (mutwo)",
    language: "typescript",
  });
});

test("installKernel() goes to the user's Jupyter folder", () => {
  const before = process.env.JUPYTER_DATA_DIR;
  process.env.JUPYTER_DATA_DIR = path.join(folder, "user");
  try {
    assert.equal(installKernel(), path.join(folder, "user/kernels/mutwo/kernel.json"));
  } finally {
    if (before === undefined) delete process.env.JUPYTER_DATA_DIR;
    else process.env.JUPYTER_DATA_DIR = before;
  }
});

test("installKernel({dataDir}) says that it cannot write there", () => {
  const file = path.join(folder, "file");
  writeFileSync(file, "");
  assert.throws(
    () => installKernel({ dataDir: file }),
    /^Error: cannot install kernel \(ENOTDIR\): .*file\/kernels\/mutwo$/,
  );
});
