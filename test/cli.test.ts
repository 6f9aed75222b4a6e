import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import type { Run } from "../src/run/run.js";
import { at } from "./at.js";
import { program, tsx } from "./program.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-cli-"));

const out = path.join(folder, "all reports");

const model = at("fixtures/resnet_bottleneck_dynamic.onnx");

const mutwo = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...program, ...args], { encoding: "utf8" });
  return { status, stdout, stderr };
};

const profile = (...args: string[]) =>
  mutwo("profile", model, "--loss", "ce", "--optimizer", "sgd", "--no-pictures", "--out", out, ...args);

const bad = path.join(folder, "bad.onnx");

writeFileSync(bad, "not a model at all");

const truncated = path.join(folder, "truncated.onnx");

writeFileSync(truncated, readFileSync(model).subarray(0, 40_000));

const wrong: readonly (readonly [what: string, args: readonly string[], message: RegExp])[] = [
  ["a file that is not ONNX", ["profile", bad, "--loss", "ce", "--optimizer", "sgd"], /not an ONNX file: .*bad\.onnx/],
  ["a truncated file", ["profile", truncated, "--loss", "ce", "--optimizer", "sgd"], /truncated file: /],
  [
    "a missing file",
    ["profile", "none.onnx", "--loss", "ce", "--optimizer", "sgd"],
    /cannot read model: none\.onnx \(ENOENT\)/,
  ],
  [
    "an unbound dimension",
    ["profile", model, "--loss", "ce", "--optimizer", "sgd"],
    /unbound dimension: batch \(pass --dim batch=N\)/,
  ],
  [
    "an unknown dimension",
    ["profile", model, "--loss", "ce", "--optimizer", "sgd", "--dim", "batch=2", "--dim", "width=3"],
    /unknown dimension: width/,
  ],
  [
    "a contradicting dimension",
    ["profile", model, "--loss", "ce", "--optimizer", "sgd", "--dim", "batch=2", "--dim", "batch=3"],
    /contradicting dimension: batch is 2 and 3/,
  ],
  [
    "an unknown loss",
    ["profile", model, "--loss", "hinge", "--optimizer", "sgd", "--dim", "batch=2"],
    /unknown loss: hinge/,
  ],
  [
    "an unknown optimizer",
    ["profile", model, "--loss", "ce", "--optimizer", "lion", "--dim", "batch=2"],
    /unknown optimizer: lion/,
  ],
  [
    "an unknown backend",
    ["profile", model, "--loss", "ce", "--optimizer", "sgd", "--dim", "batch=2", "--backend", "tpu"],
    /unknown backend: tpu/,
  ],
  [
    "an unknown planner",
    ["profile", model, "--loss", "ce", "--optimizer", "sgd", "--dim", "batch=2", "--planner", "magic"],
    /unknown planner: magic/,
  ],
  [
    "a budget that is not a size",
    ["profile", model, "--loss", "ce", "--optimizer", "sgd", "--dim", "batch=2", "--budget", "lots"],
    /budget is not a size: lots/,
  ],
  [
    "a loss that does not fit",
    ["profile", model, "--loss", "ce:axis=5", "--optimizer", "sgd", "--dim", "batch=2"],
    /loss ce does not fit output/,
  ],
  [
    "a folder that is not writable",
    ["profile", model, "--loss", "ce", "--optimizer", "sgd", "--dim", "batch=2", "--out", "/dev/null/x"],
    /output folder not writable: /,
  ],
  [
    "an unknown option",
    ["profile", model, "--loss", "ce", "--optimizer", "sgd", "--los", "ce"],
    /unknown option '--los'/,
  ],
  ["a missing option", ["profile", model, "--loss", "ce"], /required option '--optimizer/],
  ["a run that is not there", ["plan", "none.json", "--budget", "60%"], /cannot read run: none\.json/],
  [
    "a missing reference",
    ["verify", model, "--reference", "none.safetensors", "--loss", "ce", "--dim", "batch=2"],
    /cannot read safetensors: none/,
  ],
];

for (const [what, args, message] of wrong)
  test(`mutwo ${args[0]} refuses ${what}: one line, exit status 2`, () => {
    const { status, stdout, stderr } = mutwo(
      ...args,
      ...(args[0] === "profile" && !args.includes("--out") ? ["--out", out] : []),
    );
    assert.match(stderr, message);
    assert.equal(status, 2);
    assert.equal(stdout, "");
    assert.doesNotMatch(stderr, /\n\s+at /);
    assert.equal(existsSync(out), false);
  });

test("mutwo profile reports all options that are missing or wrong at once, a line each, before it reads the model: exit status 2", () => {
  const { status, stdout, stderr } = mutwo(
    ...["profile", "none.onnx", "--optimizer", "lion", "--seed", "x", "--budget", "lots", "--planner", "magic"],
    ...["--record", path.join(folder, "none", "x"), "--out", "/dev/null/x"],
  );
  assert.deepEqual(stderr.trimEnd().split("\n"), [
    "mutwo: required option '--loss <name>' not specified",
    "mutwo: option '--seed <n>' argument 'x' is invalid. use a whole number from 0 on",
    "mutwo: unknown optimizer: lion (one of sgd, adam, adamw)",
    `mutwo: recording not writable: ${path.join(folder, "none", "x")} (ENOENT)`,
    "mutwo: budget is not a size: lots (use 4GiB, 500MB or 60%)",
    "mutwo: unknown planner: magic (one of best, optimal, mutwo, capuchin, sqrt, checkmate, keepAll, recomputeAll, swapAll)",
    "mutwo: output folder not writable: /dev/null/x (ENOTDIR)",
    "(mutwo profile --help lists what there is)",
  ]);
  assert.deepEqual([status, stdout], [2, ""]);
});

test("mutwo without a run takes the newest in ./reports, and says in a line if there is none", () => {
  const home = path.join(folder, "a home");
  mkdirSync(path.join(home, "reports", "20260101-000000-mlp-aaaa"), { recursive: true });
  const here = (...args: string[]) =>
    spawnSync(process.execPath, [...program, ...args], { cwd: home, encoding: "utf8" });
  for (const args of [
    ["plan", "--budget", "60%"],
    ["report"],
    ["show"],
    ["trace"],
    ["advise"],
    ["export", "--out", "x.onnx"],
  ]) {
    const { status, stderr } = here(...args);
    assert.equal(status, 2, stderr);
    assert.match(stderr, /^mutwo: no run: reports\/\*\/run\.json \(name a run, or make one: mutwo profile .*\)\n$/);
  }
  copyFileSync(at("golden/mlp-cpu/run.json"), path.join(home, "reports", "20260101-000000-mlp-aaaa", "run.json"));
  const said = "run: reports/20260101-000000-mlp-aaaa/run.json (the newest in reports)\n";
  const { status, stdout, stderr } = here("show", "--phase", "update");
  assert.deepEqual([status, stderr], [0, said]);
  assert.match(stdout, /^# the training step of mlp\.ts\.onnx /);
  const alone = here("compare", "--assert", "peakBytes < 4GiB");
  assert.match(alone.stderr, /^mutwo: only one run: /);
});

test("mutwo shows no colour away from a terminal, and takes --no-color anywhere; every error has one prefix", () => {
  const forced = (...args: string[]) =>
    spawnSync(process.execPath, [...program, ...args], { encoding: "utf8", env: { ...process.env, FORCE_COLOR: "1" } });
  for (const args of [
    ["plan", "none.json", "--budget", "60%"],
    ["plan", "none.json", "--budget", "60%", "--no-color"],
    ["--no-color", "nix"],
  ]) {
    const { status, stderr } = forced(...args);
    assert.equal(status, 2);
    assert.match(stderr, /^mutwo: /);
    assert.ok(!stderr.includes("\x1b["), stderr);
  }
});

test("mutwo completion prints a script with the names that options take; another shell is refused", () => {
  const { status, stdout } = mutwo("completion", "bash");
  assert.equal(status, 0);
  assert.match(stdout, /' profile --loss'\) _mutwo_words 'ce mse l1 bce sum'/);
  assert.match(stdout, /' help'\) .*losses optimizers train data budgets/);
  const other = mutwo("completion", "fish");
  assert.equal(other.status, 2);
  assert.match(other.stderr, /^mutwo: .*'fish' is invalid.*\n\(mutwo completion --help lists what there is\)\n$/);
});

test("mutwo inspect says what a model is; of one that makes no step it says why, with exit status 1", () => {
  const { status, stdout, stderr } = mutwo("inspect", model);
  assert.deepEqual([status, stderr], [0, ""]);
  assert.match(stdout, / {2}mutwo profile \S+ --loss ce --optimizer adam --dim batch=8 --budget 60%\n$/);
  const json = mutwo("inspect", model, "--dim", "batch=2", "--json");
  assert.deepEqual([JSON.parse(json.stdout).dims, JSON.parse(json.stdout).guessed], [{ batch: 2 }, []]);
  const wrong = mutwo("inspect", model, "--dim", "batch");
  assert.equal(wrong.status, 2);
  assert.match(wrong.stderr, /^mutwo: option '--dim <name=N>' argument 'batch' is invalid\. use NAME=N/);
});

test("mutwo --help loads none of the graph, its ops, native code or tables", () => {
  const probe =
    "const [, cli] = process.argv; process.argv = ['node', 'mutwo', '--help']; require(cli); process.on('exit', () => console.error(Object.keys(require.cache).filter((f) => /koffi|onnxruntime|danfo|src.(graph|ops|build|memory|step|model)./.test(f)).length))";
  const { stdout, stderr } = spawnSync(process.execPath, [...tsx, "-e", probe, at("../src/cli.ts")], {
    encoding: "utf8",
  });
  assert.match(stdout, /^Usage: mutwo /);
  assert.equal(stderr.trim(), "0");
});

test("mutwo profile --budget --json prints one object whose measured peak equals the predicted one; plan and report work from the saved run", () => {
  const { status, stdout, stderr } = profile(
    "--dim",
    "batch=16",
    "--budget",
    "80%",
    "--moves",
    "300",
    "--time-limit",
    "300",
    "--no-swap",
    "--json",
  );
  assert.equal(status, 0, stderr);
  const summary = JSON.parse(stdout);
  assert.equal(summary.plan.feasible, true);
  assert.equal(summary.measuredPeakBytes, summary.peakBytes);
  assert.equal(summary.after.measuredPeakBytes, summary.plan.peakBytes);
  assert.ok(summary.after.measuredPeakBytes <= 0.8 * summary.peakBytes);
  assert.ok(summary.plan.recompute.length > 0);
  const run = JSON.parse(readFileSync(summary.run, "utf8")) as Run;
  assert.deepEqual(run.equality?.different, []);
  assert.deepEqual(readdirSync(path.dirname(summary.run)).sort(), [
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

  const again = mutwo(
    "plan",
    summary.run,
    "--budget",
    "80%",
    "--moves",
    "300",
    "--time-limit",
    "300",
    "--no-swap",
    "--json",
    "--no-pictures",
    "--out",
    out,
  );
  assert.equal(again.status, 0, again.stderr);
  assert.deepEqual(JSON.parse(again.stdout).plan.recompute, summary.plan.recompute);
  const planned = JSON.parse(readFileSync(JSON.parse(again.stdout).run, "utf8")) as Run;
  assert.equal(
    planned.command,
    `mutwo plan '${summary.run}' --budget 80% --planner best --no-swap --time-limit 300 --moves 300`,
  );
  const impossible = mutwo("plan", summary.run, "--budget", "1%", "--no-pictures", "--out", out);
  assert.equal(impossible.status, 1);
  assert.match(impossible.stderr, /infeasible budget: .*; the least reachable peak is /);
  const report = mutwo("report", summary.run);
  assert.equal(report.status, 0, report.stderr);
});

test("mutwo plan plans from both tables of a run alone, and says what is wrong with them in one line", () => {
  const place = path.join(folder, "tables alone");
  mkdirSync(place);
  for (const file of ["nodes.csv", "activations.csv"])
    copyFileSync(at(`golden/resnet-h100/${file}`), path.join(place, file));
  const rest = ["--budget", "60%", "--planner", "mutwo", "--no-pictures", "--out", path.join(folder, "of tables")];
  const { status, stdout, stderr } = mutwo("plan", place, ...rest);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^nodes\.csv: 152 nodes, 9,866 parameters, 80 saved activations$/m);
  assert.match(stdout, /^plan: \d+ recomputed, .* less memory for .* more/m);
  assert.match(stdout, /^warning: read from tables: nodes\.csv and activations\.csv; /m);
  rmSync(path.join(place, "activations.csv"));
  const without = mutwo("plan", path.join(place, "nodes.csv"), ...rest);
  const missing = path.join(place, "activations.csv");
  assert.deepEqual(
    [without.status, without.stdout, without.stderr],
    [2, "", `mutwo: cannot read table: ${missing} (ENOENT)\n`],
  );
});

test("mutwo profile stopped by Ctrl-C leaves no folder behind", async () => {
  const place = path.join(folder, "stopped");
  const child = spawn(
    process.execPath,
    [
      ...program,
      "profile",
      model,
      "--loss",
      "ce",
      "--optimizer",
      "sgd",
      "--dim",
      "batch=64",
      "--iterations",
      "100000",
      "--no-pictures",
      "--out",
      place,
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  let stderr = "";
  child.stderr.on("data", (data: Buffer) => {
    stderr += data.toString();
    if (stderr.includes("profile")) {
      child.stderr.removeAllListeners("data");
      child.stderr.on("data", (more: Buffer) => {
        stderr += more.toString();
      });
      child.kill("SIGINT");
    }
  });
  const status = await new Promise((resolve) => child.once("exit", resolve));
  assert.equal(status, 130);
  assert.match(stderr, /interrupted \(SIGINT\)/);
  assert.deepEqual(existsSync(place) ? readdirSync(place) : [], []);
});

test("mutwo profile reports a loss that is not finite, and does not hide it", () => {
  const { status, stdout } = mutwo(
    "profile",
    model,
    "--loss",
    "ce",
    "--optimizer",
    "sgd:lr=1e30",
    "--dim",
    "batch=4",
    "--no-pictures",
    "--out",
    out,
  );
  assert.equal(status, 0);
  assert.match(
    stdout,
    /warning: the unplanned step's loss is not finite: of \d+ recorded losses number \d+ is the first/,
  );
});

test("mutwo verify --json prints the contract; loading the library loads neither danfo nor Plotly nor Puppeteer", () => {
  const { status, stdout } = mutwo(
    "verify",
    at("fixtures/mlp.ts.onnx"),
    "--reference",
    at("fixtures/mlp.safetensors"),
    "--loss",
    "mse",
    "--json",
  );
  assert.equal(status, 0);
  assert.deepEqual(Object.keys(JSON.parse(stdout)), [
    "model",
    "ok",
    "loss",
    "gradients",
    "missing",
    "buffers",
    "curves",
  ]);
  const probe =
    "require(process.argv[1]); console.log(Object.keys(require.cache).filter((f) => /danfojs|plotly|puppeteer|sparticuz/.test(f) && /node_modules/.test(f)).length)";
  const loaded = spawnSync(process.execPath, [...tsx, "-e", probe, at("../src/index.ts")], { encoding: "utf8" });
  assert.equal(loaded.stdout.trim(), "0", loaded.stderr);
});

test("mutwo advise tries what a run's findings promise, and says what is wrong with its arguments in a line", () => {
  const json = mutwo("advise", at("golden/mlp-cpu"), "--count", "1", "--json");
  assert.equal(json.status, 0, json.stderr);
  const { findings, trials, own } = JSON.parse(json.stdout);
  assert.ok(findings.length > 3 && own.peakBytes > 0);
  assert.deepEqual([trials.length, trials[0].finding.flags], [1, "without a plan"]);
  assert.ok(trials[0].outcome ?? trials[0].problem);
  for (const [args, line] of [
    [["nowhere"], /^mutwo: cannot read run: nowhere \(ENOENT\)\n$/],
    [[at("golden/mlp-cpu"), "--count", "0"], /^mutwo: count is not a whole number from 1 on: 0 \(use --count 3\)\n$/],
  ] as const) {
    const { status, stderr } = mutwo("advise", ...args);
    assert.equal(status, 2);
    assert.match(stderr, line);
  }
});
