import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { reportHtml } from "../../src/report/report.js";
import { rewriteReport, writeRun } from "../../src/report/write.js";
import { readRun } from "../../src/run/read-run.js";
import { goldenRun } from "../golden-run.js";

const newFolder = (): string => mkdtempSync(path.join(tmpdir(), "mutwo-write-"));

const run = goldenRun("mlp-cpu");

/** Works with a browser that cannot start. */
async function withoutBrowser<T>(work: () => Promise<T>): Promise<T> {
  const before = process.env.CHROMIUM_PATH;
  process.env.CHROMIUM_PATH = path.join(newFolder(), "none");
  try {
    return await work();
  } finally {
    if (before === undefined) delete process.env.CHROMIUM_PATH;
    else process.env.CHROMIUM_PATH = before;
  }
}

test("writeRun(run, {pictures: false}) writes what needs no browser, and run.json is the run", async () => {
  const { folder, run: written } = await writeRun(run, { folder: newFolder(), pictures: false });
  assert.equal(path.basename(folder), run.id);
  assert.deepEqual(readdirSync(folder).sort(), [
    "findings.json",
    "modules.csv",
    "planned-activations.csv",
    "planned-modules.csv",
    "planned-nodes.csv",
    "profiler_stats_activation_stats.csv",
    "profiler_stats_node_stats.csv",
    "report.html",
    "run.json",
  ]);
  assert.deepEqual(readRun(path.join(folder, "run.json")), run);
  assert.equal(written, run);
});

test("writeRun(run) without a usable browser leaves the pictures out, and a warning about the run says so", async () => {
  const { folder, run: written } = await withoutBrowser(() => writeRun(run, { folder: newFolder() }));
  const added = written.warnings.slice(run.warnings.length);
  assert.deepEqual(
    added.map(({ about }) => about),
    ["run"],
  );
  assert.match(added[0]?.text ?? "", /^no PDF and no plots: no usable browser: .* \(set CHROMIUM_PATH\)$/);
  assert.ok(!existsSync(path.join(folder, "report.pdf")));
  assert.match(readFileSync(path.join(folder, "report.html"), "utf8"), /<b>warning<\/b> no PDF and no plots: /);
  assert.deepEqual(readRun(path.join(folder, "run.json")).warnings, written.warnings);
});

test("rewriteReport(run, folder) replaces the report and nothing else, and leaves none of its own files", async () => {
  const folder = newFolder();
  writeFileSync(path.join(folder, "report.html"), "old");
  writeFileSync(path.join(folder, "notes.txt"), "mine");
  assert.deepEqual(await rewriteReport(run, folder, false), [
    path.join(folder, "report.html"),
    path.join(folder, "findings.json"),
  ]);
  assert.equal(readFileSync(path.join(folder, "report.html"), "utf8"), reportHtml(run));
  await assert.rejects(
    withoutBrowser(() => rewriteReport(run, folder, true)),
    /^Error: no usable browser: /,
  );
  assert.deepEqual(readdirSync(folder).sort(), ["findings.json", "notes.txt", "report.html"]);
});
