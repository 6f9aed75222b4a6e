import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { at } from "../at.js";
import { program } from "../program.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-sweep-"));

after(() => rmSync(folder, { recursive: true }));

const model = at("fixtures/resnet_bottleneck_dynamic.onnx");

const mutwo = (...words: string[]) =>
  spawnSync(process.execPath, [...program, "sweep", ...words], { encoding: "utf8" });

const sweep = (...words: string[]) => mutwo(model, "--out", folder, "--iterations", "1", ...words);

const step = ["--loss", "ce", "--optimizer", "adam"];

test("mutwo sweep MODEL: all combinations of sizes and budgets, one table; not done twice", () => {
  const words = [...step, "--dim", "batch=2,3", "--budget", "95%", "--planner", "mutwo"];
  const first = sweep(...words);
  assert.equal(first.status, 0, first.stderr);
  assert.match(first.stdout, /^2 points: 2 done\n/);
  const csv = readFileSync(path.join(folder, "sweep.csv"), "utf8").trim().split("\n");
  assert.equal(csv.length, 3);
  const results = () =>
    readdirSync(path.join(folder, "results")).map((name) => statSync(path.join(folder, "results", name)).ino);
  const before = results();
  const { points, done, best } = JSON.parse(sweep(...words, "--json").stdout);
  assert.deepEqual([points, done], [2, 2]);
  assert.deepEqual(results(), before);
  for (const { run } of best) assert.ok(existsSync(path.join(folder, run)));
  // another one in the same folder takes its place, and has the results of points that both have
  const other = sweep(...step, "--dim", "batch=3", "--budget", "95%,97%", "--planner", "mutwo");
  assert.match(other.stdout, /^2 points: 2 done\n/);
  assert.equal(results().length, 3);
});

test("mutwo sweep says all that is wrong before anything is measured", () => {
  const { status, stderr } = sweep(...step, "--dim", "batch=4,x", "--dim", "length=0");
  assert.equal(status, 2);
  assert.match(stderr, /argument 'batch=x' is invalid/);
  assert.match(stderr, /argument 'length=0' is invalid/);
  const wrong = sweep(...step, "--dim", "batch=4", "--budget", "60%,90,-");
  assert.deepEqual(
    [wrong.status, wrong.stderr.trim().split("\n")],
    [
      2,
      [
        "mutwo: budget is not a size: 90 (use 4GiB, 500MB or 60%)",
        "mutwo: budget is not a size: - (use 4GiB, 500MB or 60%)",
        "(mutwo sweep --help lists what there is)",
      ],
    ],
  );
  assert.match(sweep("--dim", "batch=4").stderr, /required option '--loss <name>' not specified/);
});

const spec = path.join(folder, "spec.yaml");

const out = path.join(folder, "of spec");

const manifest = path.join(out, "manifest.jsonl");

test("mutwo sweep plan, run, status, report, and all of it: a spec's points, each once", () => {
  writeFileSync(
    spec,
    `model: ${model}\nloss: ce\noptimizer: sgd\nbackend: estimate\ndeviceSpec: h100\nplanner: mutwo\ngrid:\n  dims: {batch: [2, 3]}\n  budget: [null, 90%]\nlist:\n  - {dims: {width: 5}}\n`,
  );
  const planned = mutwo("plan", spec, "--out", out);
  assert.deepEqual([planned.status, planned.stderr], [2, planned.stderr]);
  assert.match(planned.stderr, /planner needs a budget: mutwo/);
  writeFileSync(spec, readFileSync(spec, "utf8").replace("{width: 5}}", "{width: 5}, budget: null}"));
  assert.match(mutwo("plan", spec, "--out", out).stdout, /^5 points, 3 to measure: .*manifest\.jsonl\n/);
  const [first, again] = [mutwo("run", manifest, "--index", "1"), mutwo("run", manifest, "--index", "1")];
  assert.deepEqual([first.status, first.stderr, again.status, again.stderr], [0, "", 0, ""]);
  const status = mutwo("status", out);
  assert.match(status.stdout, /^5 points: 1 done, 4 left\n/);
  const failed = mutwo("run", manifest, "--index", "0,4");
  assert.deepEqual([failed.status, failed.stderr.split("\n").length], [1, 2]);
  assert.match(failed.stderr, /^mutwo: point 4: unknown dimension: width/);
  const report = mutwo("report", out);
  assert.match(report.stdout, /^report: .*sweep\.html\ntable: .*sweep\.csv\n$/);
  const all = mutwo(out, "--jobs", "2");
  assert.equal(all.status, 1, all.stderr);
  assert.match(
    all.stdout,
    /^5 points: 4 done, 1 failed\n[\s\S]*1 point failed: unknown dimension: width[\s\S]*\nthe best: /,
  );
  assert.match(mutwo(spec, "--out", out).stdout, /^5 points: 4 done, 1 failed\n/);
});

const refusals: readonly [words: readonly string[], stderr: RegExp][] = [
  [["run", manifest, "--index", "5"], /^mutwo: index out of range: 5 \(the manifest has 5 points, 0 to 4\)\n$/],
  [["run", manifest, "--index", "x"], /^mutwo: not a list of indexes: x/],
  [["run", path.join(folder, "none.jsonl"), "--index", "0"], /^mutwo: cannot read sweep's manifest: /],
  [["run", spec, "--index", "0"], /^mutwo: not a sweep's manifest: .*spec\.yaml/],
  [["status", path.join(folder, "none")], /^mutwo: cannot read sweep's manifest: .*ENOENT\)\n$/],
  [["plan", manifest], /^mutwo: spec is n/],
  [[out, "--loss", "ce"], /^mutwo: a manifest says what its points are: --loss \(leave it out\)\n$/],
  [[spec, "--dim", "batch=4"], /^mutwo: a spec says what its points are: --dim \(leave it out\)\n$/],
  [[out, "--jobs", "0"], /^mutwo: .*--jobs.*from 1 on/],
  [[out, "--devices", "0,x"], /^mutwo: .*--devices/],
  [[out, "--devices", "0"], /^mutwo: no point of the manifest runs on a GPU: --devices 0/],
  [[out, "--limit", "0"], /^mutwo: .*--limit/],
  [["none.onnx", ...step], /^mutwo: cannot read model: none\.onnx/],
];

for (const [words, stderr] of refusals)
  test(`mutwo sweep ${words.map((word) => path.basename(word)).join(" ")}: a line`, () => {
    const found = mutwo(...words);
    assert.equal(found.status, 2);
    assert.match(found.stderr, stderr);
  });
