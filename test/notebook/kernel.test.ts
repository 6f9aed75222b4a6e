import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { installKernel } from "../../src/notebook/install.js";
import { Kernel } from "../../src/notebook/kernel.js";
import { at } from "../at.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-test-"));

after(() => rmSync(folder, { recursive: true }));

const dataDir = path.join(folder, "jupyter");

// a machine without Jupyter skips these, except where the whole project is checked
const missing = spawnSync("jupyter", ["nbconvert", "--version"]).status !== 0;

const jupyter = { skip: missing && process.env.CI !== "true" ? "jupyter nbconvert is not installed" : false };

/** Executes a notebook in Jupyter. */
function convert(input: string, output: string) {
  const { status, stderr, error } = spawnSync(
    "jupyter",
    ["nbconvert", "--to", "notebook", "--execute", path.resolve(input), "--output", output, "--output-dir", folder],
    { env: { ...process.env, JUPYTER_PATH: dataDir, HOME: folder }, encoding: "utf8" },
  );
  if (error) throw error;
  return { status, stderr };
}

test("jupyter nbconvert --execute runs a notebook in the kernel and loses none of 5000 lines", jupyter, () => {
  installKernel({ dataDir });
  const input = path.join(folder, "lines.ipynb");
  const fixture = readFileSync(at("fixtures/notebooks/lines.ipynb"), "utf8");
  writeFileSync(input, fixture.replace("let lines = 10;", "let lines = 5000;"));
  const { status, stderr } = convert(input, "executed.ipynb");
  assert.equal(status, 0, stderr);
  assert.doesNotMatch(stderr, /Timeout/);
  const { cells } = JSON.parse(readFileSync(path.join(folder, "executed.ipynb"), "utf8")) as {
    cells: { outputs: { text: string[] }[] }[];
  };
  const lines = cells[1]?.outputs.flatMap((output) => output.text) ?? [];
  assert.deepEqual([lines.length, lines.at(-1)], [5000, "line 4999\n"]);
});

test("jupyter nbconvert --execute shows a failing cell's error", jupyter, () => {
  installKernel({ dataDir });
  const { status, stderr } = convert(at("fixtures/notebooks/failing.ipynb"), "failed.ipynb");
  assert.equal(status, 1);
  assert.match(stderr, /Error: the cell failed on purpose/);
});

test("the kernel answers `aborted` to cells that were queued behind a failing one", async () => {
  const kernel = await Kernel.start({ cwd: "." });
  try {
    const execute = (code: string) => kernel.request("execute_request", { code }, { timeoutMs: 20_000 });
    const answers = await Promise.all([execute("throw 'a string';"), execute("1")]);
    assert.deepEqual(
      answers.map(({ content: { status, ename, evalue } }) => [status, ename, evalue]),
      [
        ["error", "Thrown", "'a string'"],
        ["aborted", undefined, undefined],
      ],
    );
  } finally {
    await kernel.stop();
  }
});
