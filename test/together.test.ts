import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { writeSafetensors } from "../src/model/safetensors.js";
import { checkpointsIn } from "../src/train/checkpoint.js";
import { readTraining } from "../src/train/training.js";
import { at } from "./at.js";
import { program } from "./program.js";

// several models in one step, as a program: profile, every command that takes its run, train, and what is said of bad input

const place = mkdtempSync(path.join(tmpdir(), "mutwo-together-"));
after(() => rmSync(place, { recursive: true }));

const mlp = at("fixtures/mlp.ts.onnx");
const resnet = at("fixtures/resnet_bottleneck_dynamic.onnx");

function mutwo(...words: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...program, ...words], {
    cwd: place,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
    timeout: 300_000,
  });
  return {
    status,
    stdout,
    stderr,
    said: stderr
      .trimEnd()
      .split("\n")
      .filter((line) => line.startsWith("mutwo: ")),
  };
}

const step = ["--loss", "ce", "--optimizer", "adam"];
const quick = ["--threads", "1", "--iterations", "1", "--warmups", "0", "--no-pictures"];

/** Folder of the run that a profile made. */
function profiled(name: string, ...words: readonly string[]): { folder: string; json: Record<string, unknown> } {
  const { status, stdout, stderr } = mutwo("profile", ...words, ...step, ...quick, "--out", name, "--json");
  assert.equal(status, 0, stderr);
  const json = JSON.parse(stdout) as Record<string, unknown> & { run: string };
  return { folder: path.dirname(json.run), json };
}

test("mutwo profile --copies --vary --budget: JSON has all numbers of several models, and the notes say what makes another sub-array", () => {
  const { json } = profiled(
    "json",
    resnet,
    ...["--dim", "batch=8", "--vary", "precision=float64,mixed", "--budget", "85%", "--moves", "200"],
  );
  const together = json.together as Record<string, unknown[]> & { fits: Record<string, number>; executed: string };
  assert.deepEqual(
    together.trials?.map((one) => (one as { varied: object }).varied),
    ["float64", "mixed"].map((precision) => ({ precision })),
  );
  for (const one of together.arranged as { predictedMs: number | null; peakBytes: number }[])
    assert.ok(one.peakBytes > 0);
  assert.equal((together.sameAsAlone as unknown as { models: string[] }).models.length, 2);
  assert.ok((json.plan as { feasible: boolean }).feasible && json.after);
  const fused = profiled("notes", mlp, "--vary", "accumulate=1,2", "--vary", "lr=1e-3,1e-2", "--arrange", "fused");
  const { notes } = fused.json.together as { notes: string[] };
  assert.match(notes.join("; "), /m2 begins another sub-array: /);
});

test("every command takes the run of several models", () => {
  const runs = [
    profiled("side", mlp, "--copies", "2", "--arrange", "side-by-side").folder,
    profiled("fused", resnet, "--dim", "batch=4", "--copies", "2", "--arrange", "fused").folder,
    profiled("two", mlp, resnet, "--together", "--dim", "batch=8", "--budget", "82%", "--moves", "200").folder,
  ];
  const right = (...words: readonly string[]): string => {
    const { status, stdout, stderr } = mutwo(...words);
    assert.equal(status, 0, `${words.join(" ")}: ${stderr}`);
    return stdout;
  };
  for (const [i, run] of runs.entries()) {
    assert.match(right("show", run, "--phase", "loss"), i === 1 ? /f0\/losses/ : /m1\/loss/);
    assert.match(right("report", run), /report\.html/);
    right("trace", run, "--format", i === 1 ? "memory-viz" : "perfetto");
    right("plan", run, "--budget", "100%", "--moves", "50", "--time-limit", "1", "--no-pictures", "--out", `plan${i}`);
    const { losses } = JSON.parse(right("export", run, "--out", `step${i}.onnx`, "--json")) as { losses: object };
    assert.deepEqual(losses, { m0: "m0/loss", m1: "m1/loss" });
  }
  const compared = JSON.parse(right("compare", ...runs, "--json")) as {
    settings: { name: string; values: string[] }[];
  };
  assert.deepEqual(compared.settings.find(({ name }) => name === "models")?.values.slice(0, 2), [
    "2 side-by-side; seed = 0, 1",
    "2 fused; seed = 0, 1",
  ]);
  const [side = "", fused = "", two = ""] = runs;
  right("compare", side, "--assert", "peakBytes < 1GiB");
  const fit = JSON.parse(right("plan", fused, "--fit", "3MB", "--moves", "100", "--time-limit", "1", "--json")) as {
    unplanned: { batch: number };
    notes: string[];
  };
  assert.deepEqual(fit.notes, []);
  const { batch } = fit.unplanned;
  const words = ["--dim", `batch=${batch}`, "--copies", "2", "--arrange", "fused"];
  assert.ok((profiled("fit", resnet, ...words).json.peakBytes as number) <= 3e6);
  const advice = JSON.parse(right("advise", side, "--count", "1", "--json")) as { trials: { problem: unknown }[] };
  assert.deepEqual(
    advice.trials.map(({ problem }) => problem),
    [null],
  );
  assert.match(right("export", two, "--unplanned", "--out", "unplanned.onnx"), /^exported: unplanned\.onnx$/m);
  assert.match(
    right("sweep", mlp, ...step, "--copies", "2", "--budget", "95%,100%", "--threads", "1", "--out", "swept"),
    /2 points/,
  );
});

const wrong: readonly (readonly [words: readonly string[], line: RegExp])[] = [
  [["--copies", "0"], /argument '0' is invalid\. use a whole number from 1 to 10000/],
  [["--copies", "2", "--vary", "lr=1,2,3"], /lr has 3 values for 2 models: /],
  [["--vary", "seed=0..999", "--vary", "lr=1,2,3,4,5,6,7,8,9,10,11"], /too many models: 11,000 /],
  [["--vary", "lr=1e-5..1e-3"], /cannot vary lr: setting lr of adam is not a number: 1e-5\.\.1e-3 \(model m0\)/],
  [["--vary", `lr=${"9".repeat(5000)},,1`], /a value is missing: lr=9+… \(use /],
  [["--vary", "device=0,1"], /cannot vary device: it is of all models together/],
  [["--vary", "dim.batch=4,8"], /unknown dimension: batch /],
  [["--arrange", "fused"], /one model alone is not arranged: fused \(pass --copies N\)/],
  [["--together"], /nothing to train together: name another model /],
  [["--vary", "loss=ce,ce:axis=7"], /\(model m1: /],
  [["--vary", "freeze=mod.0.*,none.*"], /pattern matches no parameter: none\.\* .*\(model m1: /],
];

for (const [command, cases] of [
  ["profile", wrong],
  ["train", wrong.slice(0, 4)],
] as const)
  test(`mutwo ${command} says in one line what is wrong with several models`, () => {
    const data = ["--data", mlp, "--epochs", "1", "--out", "x/x.onnx"];
    for (const [words, line] of cases) {
      const { status, said } = mutwo(command, mlp, ...step, ...words, ...(command === "train" ? data : []));
      assert.ok(status === 1 || status === 2, words.join(" ").slice(0, 100));
      assert.match(said.join("\n"), line);
      assert.ok(
        said.every((one) => one.length <= 300),
        said.join("\n"),
      );
    }
  });

test("mutwo profile says how many models fit where they do not", () => {
  const full = at("fixtures/full/resnet50.onnx");
  const { status, said } = mutwo("profile", full, ...step, "--dim", "batch=4", "--copies", "9000");
  assert.ok(status === 1 || status === 2);
  assert.match(
    said.join(""),
    /^mutwo: out of memory: 9,000 models do not fit: .* are free; (\d+ fit \(--copies \d+\)|not even one fits .*)$/,
  );
});

test("mutwo train --copies: a line a model, folders of each, a report with all, and --resume to more epochs", () => {
  const data = path.join(place, "data.safetensors");
  const numbers = (count: number) => new Uint8Array(Float32Array.from({ length: count }, (_, i) => Math.sin(i)).buffer);
  const columns = ["input", "target"].map((name): [string, { dtype: "float32"; shape: number[]; data: Uint8Array }] => [
    name,
    { dtype: "float32", shape: [64, 100], data: numbers(6400) },
  ]);
  writeSafetensors(data, new Map(columns));
  const words = [
    ...["train", mlp, "--data", data, "--validate", data, "--loss", "mse", "--optimizer", "adamw", "--threads", "1"],
    ...["--copies", "3", "--vary", "lr=1e-3,1e-2,1e30", "--epochs", "3", "--out", path.join("trained", "mlp.onnx")],
  ];
  const { status, stdout, stderr } = mutwo(...words, "--no-pictures");
  assert.equal(status, 0, stderr);
  for (const line of [
    /^m0 \(lr=1e-3, seed=0\): epoch 3\/3: loss \S+, .* samples\/s; validation: loss /m,
    /^m2: the loss of step \d is \S+: /m,
  ])
    assert.match(stderr, line);
  assert.match(stdout, /^m1 \(lr=1e-2, seed=1\): loss \S+; validation: .*; 3 epochs done → trained\/m1\/mlp\.onnx$/m);
  assert.match(
    stdout,
    /^best of 3 models: m\d \(.*\), validation loss \S+ after epoch \d; the loss of m2 was not finite$/m,
  );
  assert.deepEqual(readdirSync(path.join(place, "trained")).sort(), ["m0", "m1", "mlp.checkpoints"]);
  const report = path.join(place, path.dirname(/^report: (.*)$/m.exec(stdout)?.[1] ?? ""));
  assert.deepEqual(readTraining(report).together?.models.length, 3);
  assert.ok(existsSync(path.join(report, "m2", "steps.csv")));
  assert.match(readFileSync(path.join(report, "models.csv"), "utf8"), /^m1,/m);
  assert.equal(mutwo("report", path.join(report, "m1")).status, 0);
  const longer = words.map((word, i) => (words[i - 1] === "--epochs" ? "4" : word));
  const again = mutwo(...longer, "--resume", "--no-report", "--json");
  assert.equal(again.status, 0, again.stderr);
  const { models, bestModel } = JSON.parse(again.stdout) as {
    models: { name: string; epochs: unknown[]; end: { reason: string } }[];
    bestModel: string;
  };
  assert.deepEqual(
    models.map(({ name, epochs, end }) => [name, epochs.length, end.reason]),
    [
      ["m0", 4, "finished"],
      ["m1", 4, "finished"],
      ["m2", 0, "not finite"],
    ],
  );
  assert.match(bestModel, /^m[01]$/);
  assert.ok(checkpointsIn(path.join(place, "trained", "mlp.checkpoints", "m0")).length > 0);
});
