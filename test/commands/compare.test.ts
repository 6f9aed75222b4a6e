import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { at } from "../at.js";
import { goldenRun } from "../golden-run.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-compare-"));

after(() => rmSync(folder, { recursive: true }));

const run = goldenRun("resnet-h100");

const save = (name: string, changed: object): string => {
  const file = path.join(folder, name);
  writeFileSync(file, JSON.stringify({ ...run, id: name, ...changed }));
  return file;
};

const base = save("base.json", {});

const { samplesMs, medianMs, meanMs, spreadMs } = run.before.step;

const slower = save("slower.json", {
  before: {
    ...run.before,
    step: {
      samplesMs: samplesMs.map((ms) => 1.1 * ms),
      medianMs: 1.1 * medianMs,
      meanMs: 1.1 * meanMs,
      spreadMs: 1.1 * spreadMs,
    },
  },
});

const compare = (...words: string[]) =>
  spawnSync(process.execPath, ["--import", "tsx", at("../src/cli.ts"), "compare", ...words], { encoding: "utf8" });

test("mutwo compare RUN RUN: tables; an assertion that fails is named, exit status 1", () => {
  const { status, stdout } = compare(base, slower, "--assert", "stepMs < 1.05 * base", "--assert", "peakBytes <= base");
  assert.equal(status, 1);
  assert.match(stdout, /step +│ .* \(\+10\.0 %\) │/);
  assert.match(stdout, /^FAILS: stepMs < 1\.05 \* base: slower\.json has .*, 1\.100 times the base$/m);
  assert.match(stdout, /^holds: peakBytes <= base/m);
  assert.equal(compare(base, slower, "--assert", "stepMs < 1.2 * base").status, 0);
});

test("mutwo compare RUN --assert: one run against a value; --json and --markdown", () => {
  assert.equal(compare(base, "--assert", "peakBytes < 1TiB").status, 0);
  const { status, stdout } = compare(base, "--assert", "peakBytes < 1KiB", "--json");
  assert.deepEqual([status, JSON.parse(stdout).assertions[0].holds], [1, false]);
  const json = JSON.parse(compare(base, slower, "--json", "--rows", "2").stdout);
  assert.deepEqual([json.runs.length, json.nodes[0].length], [2, 2]);
  assert.match(compare(base, slower, "--markdown").stdout, /^\| step \| .* \(\+10\.0 %\) \|$/m);
});

test("mutwo compare says what is wrong in one line, exit status 2", () => {
  for (const [words, line] of [
    [[base], /^mutwo: comparing takes two runs or more: .*base\.json \(or one with --assert/],
    [[base, path.join(folder, "none.json")], /^mutwo: cannot read run: .*none\.json \(ENOENT\)$/],
    [[base, "--assert", "stepMs < base"], /^mutwo: assertion without a base: stepMs < base/],
    [[base, "--assert", "steps < 3"], /^mutwo: assertion of an unknown figure: steps/],
    [[base, slower, "--rows", "-1"], /^mutwo: rows is not a whole number: -1/],
  ] as const) {
    const { status, stderr } = compare(...words);
    assert.equal(status, 2);
    assert.match(stderr.trim(), line);
    assert.equal(stderr.trim().split("\n").length, 1);
  }
});
