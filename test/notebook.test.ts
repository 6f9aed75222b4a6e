import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { installKernel } from "../src/jupyter.js";
import { runNotebook } from "../src/notebook.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-notebook-"));
const fixture = (name: string): string => `test/fixtures/notebooks/${name}.ipynb`;
const kernelFolders = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith("mutwo-kernel-"));
const outputs = (file: string) =>
  (
    JSON.parse(readFileSync(file, "utf8")) as {
      cells: { outputs?: { output_type: string; text?: string[]; evalue?: string; data?: object }[] }[];
    }
  ).cells.map((cell) => cell.outputs ?? []);

test("runNotebook(file) keeps all of 5000 lines that a cell prints in one burst", async () => {
  const output = path.join(folder, "lines.ipynb");
  const result = await runNotebook(fixture("lines"), { output, parameters: { lines: "5000", word: "row" } });
  assert.deepEqual(result, { ok: true, failedCell: null });
  const [, , printed, value] = outputs(output);
  const text = printed?.[0]?.text ?? [];
  assert.equal(text.length, 5000);
  assert.equal(text.at(-1), "row 4999\n");
  assert.match(value?.[0]?.text?.join("") ?? "", /6/);
});

test("runNotebook(file) records a failing cell's error, runs nothing after it and leaves no kernel behind", async () => {
  const output = path.join(folder, "failing.ipynb");
  const result = await runNotebook(fixture("failing"), { output });
  assert.equal(result.ok, false);
  assert.deepEqual(result.failedCell, { index: 1, message: "the cell failed on purpose" });
  const [first, second, third] = outputs(output);
  assert.equal(first?.[0]?.text?.[0], "before\n");
  assert.equal(second?.at(-1)?.evalue, "the cell failed on purpose");
  assert.deepEqual(third, []);
  assert.deepEqual(kernelFolders(), []);
});

test("runNotebook(file) says in one line what is wrong with its input", async () => {
  const bad = path.join(folder, "bad.ipynb");
  writeFileSync(bad, "{}");
  await assert.rejects(runNotebook(path.join(folder, "none.ipynb")), /cannot read notebook: .* \(ENOENT\)/);
  await assert.rejects(runNotebook(bad), /not a notebook: /);
  await assert.rejects(runNotebook(fixture("lines"), { parameters: { colour: "red" } }), /unknown parameter: colour/);
  await assert.rejects(
    runNotebook(fixture("dying"), { output: path.join(folder, "d.ipynb") }),
    /kernel died \(exit status 3\)/,
  );
  await assert.rejects(
    runNotebook(fixture("lines"), {
      signal: AbortSignal.abort(new Error("interrupted")),
      output: path.join(folder, "i.ipynb"),
    }),
    /interrupted/,
  );
  assert.deepEqual(kernelFolders(), []);
});

test("installKernel(dataDir) writes a kernel that starts the launcher", () => {
  const file = installKernel({ dataDir: path.join(folder, "jupyter") });
  const spec = JSON.parse(readFileSync(file, "utf8")) as { argv: string[]; display_name: string };
  assert.equal(spec.display_name, "TypeScript (mutwo)");
  assert.match(spec.argv[1] ?? "", /kernel\.cjs$/);
  assert.throws(() => installKernel({ dataDir: "/dev/null/jupyter" }), /cannot install kernel: /);
});

test("notebooks/01-profile.ipynb runs from top to bottom", async () => {
  const output = path.join(folder, "01-profile.ipynb");
  const result = await runNotebook("notebooks/01-profile.ipynb", { output, parameters: { batch: "4" } });
  assert.deepEqual(result, { ok: true, failedCell: null });
  const all = JSON.stringify(outputs(output));
  assert.match(all, /application\/vnd\.plotly\.v1\+json/);
  assert.match(all, /tensors compared bit by bit, 0 differ/);
  assert.match(all, /report\.html/);
});
