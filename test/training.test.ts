import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { writeSafetensors } from "../src/model/safetensors.js";
import { checkpointsIn } from "../src/train/checkpoint.js";
import { readTraining } from "../src/train/training.js";
import { at } from "./at.js";
import { program } from "./program.js";

// `mutwo train` as a program: what it writes, how it goes on, and what it says of bad input and faults

const place = mkdtempSync(path.join(tmpdir(), "mutwo-training-"));
after(() => rmSync(place, { recursive: true }));

const model = at("fixtures/mlp.ts.onnx");

const bytes = (count: number, of: (i: number) => number): Uint8Array =>
  new Uint8Array(Float32Array.from({ length: count }, (_, i) => of(i)).buffer);

/** Samples for the model: 100 numbers, and 100 to tell. */
function writeData(name: string, count: number, of = (i: number) => Math.sin(i)): string {
  const file = path.join(place, name);
  const values = new Map(
    ["input", "target"].map((column, k) => [
      column,
      { dtype: "float32" as const, shape: [count, 100], data: bytes(count * 100, (i) => of(i * (k + 1))) },
    ]),
  );
  writeSafetensors(file, values);
  return file;
}

const data = writeData("train.safetensors", 160);
const held = writeData("held.safetensors", 24, (i) => Math.cos(i));

const basics = ["--data", data, "--loss", "mse", "--optimizer", "adam:lr=1e-3", "--threads", "1"];

/** Runs `mutwo train` to its end. */
function train(words: readonly string[], file = model) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...program, "train", file, ...words], {
    cwd: place,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
    timeout: 300_000,
  });
  return { status, stdout, stderr, said: stderr.trimEnd().split("\n").at(-1) ?? "" };
}

/** Images for a network of convolutions, with classes. */
function writeImages(name: string, count: number, classes = 10): string {
  const file = path.join(place, name);
  const labels = new Uint8Array(BigInt64Array.from({ length: count }, (_, i) => BigInt(i % classes)).buffer);
  writeSafetensors(
    file,
    new Map([
      [
        "input",
        { dtype: "float32" as const, shape: [count, 3, 48, 48], data: bytes(count * 6912, (i) => Math.sin(i)) },
      ],
      ["label", { dtype: "int64" as const, shape: [count], data: labels }],
    ]),
  );
  return file;
}

test("mutwo train trains within a budget, writes the model, a report and checkpoints, and says what came of it", () => {
  const out = path.join(place, "first.onnx");
  const { status, stdout, stderr } = train(
    [
      ...["--data", writeImages("images.safetensors", 24), "--validate", writeImages("few images.safetensors", 7)],
      ...["--loss", "ce", "--optimizer", "adam", "--dim", "batch=4", "--budget", "75%", "--moves", "300"],
      ...["--epochs", "3", "--schedule", "cosine:warmup=5", "--patience", "3", "--monitor", "accuracy"],
      ...["--out", out, "--no-pictures"],
    ],
    at("fixtures/resnet_bottleneck_dynamic.onnx"),
  );
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^training: 3 epochs, 18 steps in .* samples\/s; 3 epochs done$/m);
  assert.match(stdout, /^memory: .* for the step's values, budget /m);
  assert.match(stdout, /^validation: loss \S+, accuracy \S+, top5 \S+; best: epoch \d, accuracy /m);
  assert.match(stderr, /^epoch 2\/3: loss \S+, .* samples\/s; validation: loss /m);
  const [, report = ""] = /^report: (.*)$/m.exec(stdout) ?? [];
  const folder = path.join(place, path.dirname(report));
  const training = readTraining(folder);
  assert.deepEqual(
    readdirSync(folder).sort(),
    ["epochs.csv", "report.html", "steps.csv", "training.json", training.run as string].sort(),
  );
  const { allocatedBytes, plannedBytes, unplannedBytes, budgetBytes } = training.step;
  assert.ok(allocatedBytes <= (budgetBytes as number) && (budgetBytes as number) < (unplannedBytes as number));
  assert.equal(plannedBytes, allocatedBytes);
  assert.ok(training.log.memory.bytes.length > 0);
  assert.equal(checkpointsIn(path.join(place, "first.checkpoints")).length, 3);
});

test("mutwo train --json prints one object, and nothing else on stdout", () => {
  const out = path.join(place, "second.onnx");
  const { status, stdout, stderr } = train([...basics, "--epochs", "1", "--out", out, "--no-report", "--json"]);
  assert.equal(status, 0, stderr);
  const parsed = JSON.parse(stdout) as { steps: number; training: unknown; out: string };
  assert.deepEqual([parsed.steps, parsed.training, parsed.out], [10, null, out]);
  assert.notDeepEqual(readFileSync(out), readFileSync(model));
});

/** A long training, of which each part says when it trains. */
const long = [...basics, "--validate", held, "--epochs", "12", "--seed", "4", "--schedule", "cosine:warmup=20"];
const often = ["--checkpoint-every", "3,epoch", "--no-report"];

let undisturbed: Buffer | undefined;

function whole(): Buffer {
  if (undisturbed) return undisturbed;
  const out = path.join(place, "whole.onnx");
  const { status, stderr } = train([...long, ...often, "--out", out]);
  assert.equal(status, 0, stderr);
  undisturbed = readFileSync(out);
  return undisturbed;
}

/** Starts `mutwo train`, sends signals some ms after it began to train; tells how it ended. */
async function disturbed(words: readonly string[], afterMs: number, signals: readonly NodeJS.Signals[]) {
  const child = spawn(process.execPath, [...program, "train", model, ...words], {
    cwd: place,
    env: { ...process.env, NO_COLOR: "1" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  let isTraining: () => void;
  const began = new Promise<void>((resolve) => {
    isTraining = resolve;
  });
  child.stderr.on("data", (text: Buffer) => {
    stderr += text.toString();
    if (/^train$/m.test(stderr)) isTraining();
  });
  const exit = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
  await Promise.race([began, exit]);
  for (const signal of signals) {
    await Promise.race([setTimeout(afterMs), exit]);
    if (child.exitCode === null) child.kill(signal);
  }
  const [status, signal] = await exit;
  return { status, signal, stderr };
}

test("mutwo train killed at random moments and resumed writes the undisturbed run's model to the bit", {
  timeout: 600_000,
}, async () => {
  const expected = whole();
  const out = path.join(place, "killed.onnx");
  const kills = Number(process.env.MUTWO_KILLS ?? 6);
  let killed = 0;
  for (let round = 0; killed < kills; round++) {
    assert.ok(round < 3 * kills, "the training ends before it is killed");
    const { signal, status, stderr } = await disturbed(
      [...long, ...often, "--out", out, "--resume"],
      250 * Math.random(),
      ["SIGKILL"],
    );
    if (signal === "SIGKILL") killed++;
    else {
      assert.equal(status, 0, stderr);
      rmSync(out.replace(/onnx$/, "checkpoints"), { recursive: true });
    }
    assert.ok(!/skipped/.test(stderr), stderr);
  }
  const { status, stderr } = train([...long, ...often, "--out", out, "--resume"]);
  assert.equal(status, 0, stderr);
  assert.ok(readFileSync(out).equals(expected));
  const left = readdirSync(out.replace(/onnx$/, "checkpoints")).filter((name) => name.startsWith("."));
  assert.deepEqual(left, [], "no temporary folder is left");
});

test("mutwo train ends on SIGINT with a checkpoint and the command that goes on; a second one ends it at once", async () => {
  const expected = whole();
  const out = path.join(place, "interrupted.onnx");
  const words = [...long, ...often, "--out", out];
  const once = await disturbed(words, 60, ["SIGINT"]);
  assert.equal(once.status, 130, once.stderr);
  const [, command = ""] = /^mutwo: interrupted after step \d+; go on: mutwo train (.*)$/m.exec(once.stderr) ?? [];
  assert.match(command, / --resume /);
  assert.equal(existsSync(out), false);
  const line = ["train", ...command.matchAll(/'((?:[^']|'\\'')*)'|(\S+)/g)].map((word) =>
    typeof word === "string" ? word : (word[1] ?? word[2] ?? ""),
  );
  const again = spawnSync(process.execPath, [...program, ...line], { cwd: place, encoding: "utf8" });
  assert.equal(again.status, 0, again.stderr);
  assert.match(again.stderr, /^goes on after step \d+: /m);
  assert.ok(readFileSync(out).equals(expected));
  const twice = await disturbed(
    words.map((word) => (word === out ? `${out}.2.onnx` : word)),
    60,
    ["SIGINT", "SIGINT"],
  );
  assert.ok(twice.signal === "SIGINT" || twice.status === 130, JSON.stringify(twice));
});

const lossScales = "mixed:type=float16,init_scale=4294967296,growth_interval=2";

for (const [what, fixture, words] of [
  ["dropout draws other numbers each step", "dropout_block", ["--optimizer", "adam"]],
  [
    "micro-batches are accumulated, and gradients clipped",
    "dropout_block",
    ["--optimizer", "sgd:momentum=0.9", "--accumulate", "2", "--clip-norm", "1"],
  ],
  ["the loss scale changes", "dropout_block", ["--optimizer", "adamw", "--precision", lossScales]],
  [
    "batch norms have running statistics, and a plan",
    "resnet_bottleneck_dynamic",
    ["--optimizer", "adamw:lr=1e-2", "--budget", "75%", "--moves", "50", "--last", "pad"],
  ],
] as const)
  test(`mutwo train interrupted by its limit of steps and resumed has the same bits where ${what}`, () => {
    const isDropout = fixture === "dropout_block";
    const file = path.join(place, "vectors.safetensors");
    const labels = new Uint8Array(BigInt64Array.from({ length: 42 }, (_, i) => BigInt(i % 10)).buffer);
    writeSafetensors(
      file,
      new Map([
        ["input", { dtype: "float32" as const, shape: [42, 64], data: bytes(42 * 64, (i) => Math.sin(i)) }],
        ["label", { dtype: "int64" as const, shape: [42], data: labels }],
      ]),
    );
    const given = ["--data", isDropout ? file : writeImages("42.safetensors", 42), "--loss", "ce", "--dim", "batch=4"];
    const all = [...given, ...words, "--no-report", "--checkpoint-every", "5", "--threads", "1"];
    const [one, two] = ["straight", "in parts"].map((name) => path.join(place, `${fixture} ${name}.onnx`)) as [
      string,
      string,
    ];
    const run = (more: readonly string[]): void => {
      const { status, stderr } = train([...all, ...more], at(`fixtures/${fixture}.onnx`));
      assert.equal(status, 0, stderr);
    };
    for (const out of [one, two]) rmSync(out.replace(/onnx$/, "checkpoints"), { recursive: true, force: true });
    run(["--steps", "17", "--out", one]);
    for (const steps of ["3", "11", "17"]) run(["--steps", steps, "--out", two, "--resume"]);
    assert.ok(readFileSync(one).equals(readFileSync(two)));
  });

test("mutwo train says in one line what is wrong with data, checkpoints and options, before it trains", () => {
  const out = path.join(place, "wrong.onnx");
  const copy = path.join(place, "copy.onnx");
  copyFileSync(model, copy);
  const cut = path.join(place, "cut.safetensors");
  copyFileSync(data, cut);
  truncateSync(cut, 1000);
  const misshapen = path.join(place, "misshapen.safetensors");
  writeSafetensors(
    misshapen,
    new Map(
      ["input", "target"].map((name) => [
        name,
        { dtype: "float32" as const, shape: [32, 7], data: bytes(32 * 7, Math.sin) },
      ]),
    ),
  );
  const empty = writeData("empty.safetensors", 0);
  const few = writeData("few.safetensors", 5);
  writeFileSync(path.join(place, "no.safetensors"), "no checkpoint");
  const run = (words: readonly string[], file = model) =>
    train(["--epochs", "1", "--out", out, "--no-report", ...words], file);
  const loss = ["--loss", "mse", "--optimizer", "sgd"];
  const cases: readonly (readonly [words: readonly string[], said: RegExp, file?: string])[] = [
    [["--data", cut, ...loss], /cut\.safetensors/],
    [["--data", misshapen, ...loss], /^mutwo: shape mismatch: a sample of target .* float32\[7\]/],
    [["--data", empty, ...loss], /no samples/],
    [["--data", few, ...loss], /fewer samples than a step takes: 5 of 16/],
    [["--data", data, "--loss", "ce", "--optimizer", "sgd"], /target/],
    [[...basics, "--validate", empty], /no samples/],
    [[...basics, "--resume", path.join(place, "no.safetensors")], /not a safetensors file/],
    [[...basics, "--resume", place], /no checkpoint/],
    [[...basics, "--columns", "input=none,target=target"], /none/],
    [[...basics, "--validate", held, "--metric", "accuracy"], /metric accuracy does not fit loss mse/],
    [["--data", "--epochs", ...loss], /cannot read data: --epochs/],
    [
      [
        "--data",
        writeImages("12 classes.safetensors", 24, 12),
        "--loss",
        "ce",
        "--optimizer",
        "sgd",
        "--dim",
        "batch=4",
      ],
      /10.*label|label.*10/,
      at("fixtures/resnet_bottleneck_dynamic.onnx"),
    ],
    [
      ["--data", data, "--loss", "ce", "--optimizer", "sgd", "--dim", "batch=4"],
      /input|target/,
      at("fixtures/resnet_bottleneck_dynamic.onnx"),
    ],
  ];
  for (const [words, said, file] of cases) {
    const { status, stderr, stdout } = run(words, file);
    assert.equal(status, 2, `${words.join(" ")}\n${stderr}`);
    const lines = stderr.split("\n").filter((line) => line.startsWith("mutwo: "));
    assert.equal(lines.length, 1, stderr);
    assert.match(lines[0] as string, said);
    assert.ok((lines[0] as string).length <= 300);
    assert.equal(stdout, "");
    assert.equal(existsSync(out), false);
  }
  const over = train([...basics, "--epochs", "1", "--out", copy], copy);
  assert.equal(over.status, 2);
  assert.match(over.stderr, /^mutwo: trained model would overwrite what it is made of: /m);
});

test("mutwo train refuses a checkpoint of another training, and checkpoints that would be lost", () => {
  const out = path.join(place, "other.onnx");
  const words = [...basics, "--steps", "7", "--checkpoint-every", "2", "--no-report", "--out", out];
  assert.equal(train(words).status, 0);
  const [newest = ""] = checkpointsIn(path.join(place, "other.checkpoints"));
  const other = train([...words, "--optimizer", "sgd", "--resume"]);
  assert.equal(other.status, 2);
  assert.match(other.said, /^mutwo: checkpoint of another training: optimizer was adam:lr=1e-3, is sgd \(/);
  truncateSync(newest, readFileSync(newest).length - 9);
  const skipped = train([...words, "--resume"]);
  assert.equal(skipped.status, 0, skipped.stderr);
  assert.match(skipped.stderr, /^skipped: .*step-000000007.*\n(.*\n)*goes on after step 6: /m);
});

test("mutwo train ends at a loss that is not finite with exit status 1, the step and the node, and writes no model", () => {
  const out = path.join(place, "nan.onnx");
  const { status, said } = train([
    ...basics,
    "--optimizer",
    "sgd:lr=1e30",
    "--epochs",
    "5",
    "--checkpoint-every",
    "1",
    "--no-report",
    "--out",
    out,
  ]);
  assert.equal(status, 1);
  assert.match(said, /^mutwo: the loss of step \d+ is (NaN|Infinity): .* (makes .* not finite|holds NaN or infinity)/);
  assert.ok(said.length <= 300 && !said.includes("--resume"), said);
  assert.equal(existsSync(out), false);
});

test("mutwo train is quiet on a stdout that is closed", async () => {
  const out = path.join(place, "closed.onnx");
  const words = [...program, "train", model, ...basics, "--epochs", "1", "--no-report", "--out", out];
  const child = spawn(process.execPath, words, { cwd: place, stdio: ["ignore", "pipe", "pipe"] });
  child.stdout.destroy();
  let stderr = "";
  child.stderr.on("data", (text: Buffer) => {
    stderr += text.toString();
  });
  const [status] = (await once(child, "exit")) as [number];
  assert.equal(status, 0, stderr);
  assert.ok(!/EPIPE|Error/.test(stderr), stderr);
  assert.ok(existsSync(out));
});
