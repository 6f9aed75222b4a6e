import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { at } from "../at.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-sweep-"));

after(() => rmSync(folder, { recursive: true }));

const model = at("fixtures/resnet_bottleneck_dynamic.onnx");

const sweep = (...words: string[]) =>
  spawnSync(
    process.execPath,
    ["--import", "tsx", at("../src/cli.ts"), "sweep", model, "--out", folder, "--iterations", "1", ...words],
    { encoding: "utf8" },
  );

const step = ["--loss", "ce", "--optimizer", "adam"];

test("mutwo sweep MODEL: all combinations of sizes and budgets, a run each, one table; not measured twice", () => {
  const words = [...step, "--dim", "batch=2,3", "--budget", "95%", "--planner", "mutwo"];
  const first = sweep(...words);
  assert.equal(first.status, 0, first.stderr);
  assert.match(first.stdout, /^2 points\n/);
  const csv = readFileSync(path.join(folder, "sweep.csv"), "utf8").trim().split("\n");
  assert.equal(csv.length, 3);
  assert.match(csv[1] ?? "", /^2,95%,true,/);
  const { points } = JSON.parse(sweep(...words, "--json").stdout);
  assert.deepEqual(
    points.map(({ dims, feasible }: { dims: object; feasible: boolean }) => [dims, feasible]),
    [
      [{ batch: 2 }, true],
      [{ batch: 3 }, true],
    ],
  );
  for (const { run } of points) assert.ok(existsSync(path.join(folder, run, "run.json")));
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
