import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import ts from "typescript";
import { topicText } from "../src/commands/topics.js";
import { at } from "./at.js";
import { commandLines, plain, problemsOf } from "./command-lines.js";
import { npyBytes, raw, zipBytes } from "./data-files.js";
import { program, tsx } from "./program.js";

// a new user's first minutes: what README.md says, word by word; test/documents.test.ts looks at what is not run here

const readme = readFileSync(at("../README.md"), "utf8");

const place = mkdtempSync(path.join(tmpdir(), "mutwo-readme-"));

after(() => rmSync(place, { recursive: true }));

process.chdir(at(".."));

const mutwo = (cwd: string, ...words: string[]) =>
  spawnSync(process.execPath, [...program, ...words], { cwd, encoding: "utf8" });

/** So many images for the model beside README.md, each with its class. */
function images(count: number): Buffer {
  const x = Float32Array.from({ length: count * 3 * 48 * 48 }, (_, i) => Math.sin(i));
  const y = BigInt64Array.from({ length: count }, (_, i) => BigInt(i % 10));
  return zipBytes([
    { name: "x.npy", data: npyBytes("<f4", [count, 3, 48, 48], raw(x)) },
    { name: "y.npy", data: npyBytes("<i8", [count], raw(y)) },
  ]);
}

const replays = [...new Set([readme, topicText("recordings")].flatMap(commandLines))].filter((line) =>
  line.includes("--backend replay:"),
);

for (const line of replays)
  test(`${line} plans the recorded step`, () => {
    const [, ...words] = line.split(" ");
    const { status, stdout, stderr } = mutwo(at(".."), ...words, "--moves", "200", "--no-pictures", "--out", place);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^plan: \d+ recomputed.* less memory for .* more/m);
  });

test("README.md names three recordings, the models of all of which are there", () => {
  assert.equal(replays.length, 3);
});

test("a new user's commands work in README.md's order on a model of their own; a run is the newest where none is named", () => {
  const home = mkdtempSync(path.join(place, "home-"));
  copyFileSync(at("fixtures/resnet_bottleneck_dynamic.onnx"), path.join(home, "MODEL.onnx"));
  writeFileSync(path.join(home, "TRAIN.npz"), images(64));
  writeFileSync(path.join(home, "TEST.npz"), images(40));
  const own = commandLines(readme).filter(
    (line) => !/test\/|COMMAND|TOPIC|VALUES|FILE\.saf|install|completion|notebook/.test(line),
  );
  const done = new Set<string>();
  const hasten = ["--no-pictures", "--moves", "100"];
  for (const line of own) {
    const [, name = "", ...rest] = plain(line).replaceAll("'", "").split(" ");
    if (/doctor|sweep/.test(name) || /cuda/.test(line)) continue; // tests of their own
    // what stands in brackets may be left out
    const words = line.includes("[RUN") ? rest.filter((word) => word !== "RUN" && word !== "NODE") : rest;
    if (name === "compare")
      words.splice(0, words.length, "--assert", "peakBytes < 4GiB", "--markdown", "--out", "FILE.html");
    const fast = ["profile", "plan"].includes(name) ? hasten : [];
    const { status, stdout, stderr } = mutwo(home, name, ...words, ...fast);
    assert.equal(status, 0, `${line}\n${stderr}`);
    assert.ok(stdout.length > 0, line);
    if (line.includes("[RUN")) assert.match(stderr, /^run: reports\/.*run\.json \(the newest in reports\)$/m, line);
    done.add(name);
  }
  for (const name of ["inspect", "profile", "plan", "report", "advise", "compare", "show", "trace", "export", "train"])
    assert.ok(done.has(name), `README.md does not say: ${name}`);
  assert.ok(readdirSync(home).includes("STEP.onnx"));
});

test("mutwo demo ends with the report and three commands to try next, which mutwo takes", async () => {
  const home = mkdtempSync(path.join(place, "demo-"));
  const { status, stdout, stderr } = mutwo(home, "demo", "--no-pictures");
  assert.equal(status, 0, stderr);
  const lines = stdout.trimEnd().split("\n");
  const report = /^report: (.*)$/m.exec(stdout)?.[1] ?? "";
  assert.ok(existsSync(path.join(home, report)));
  const next = lines.slice(-3).map((line) => line.trim());
  for (const line of next) assert.deepEqual(await problemsOf(line), [], line);
  assert.match(next.join("\n"), /^mutwo inspect MODEL\.onnx\nmutwo profile MODEL\.onnx /);
});

/** The blocks of README.md in one language. */
const blocks = (language: string): string[] =>
  [...readme.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].flatMap(([, name, text = ""]) =>
    name === language ? [text] : [],
  );

/** What a block of README.md prints where it lies beside a model, once it has no errors under strict types. */
function outputOf(block: string, name: string): string {
  const library = process.env.MUTWO_BUILT ? at("../dist/index") : at("../src/index");
  const file = path.join(place, name);
  writeFileSync(file, block.replace('from "mutwo"', `from ${JSON.stringify(library)}`));
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    typeRoots: [at("../node_modules/@types")],
    types: ["node"],
  };
  const problems = ts.getPreEmitDiagnostics(ts.createProgram([file], options));
  assert.deepEqual(
    problems.filter(({ file: where }) => where?.fileName === file).map(({ messageText }) => messageText),
    [],
  );
  const { status, stdout, stderr } = spawnSync(process.execPath, [...tsx, file], { cwd: place, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return stdout;
}

test("README.md's TypeScript has no errors under strict types, and runs on a model beside it", () => {
  const [profile = "", training = "", ...others] = blocks("ts");
  assert.deepEqual(others, []);
  copyFileSync(at("fixtures/resnet_bottleneck_dynamic.onnx"), path.join(place, "model.onnx"));
  const stdout = outputOf(profile, "profile.ts");
  assert.match(stdout, /^\d+ → \d+ bytes$/m);
  const folder = path.join(place, stdout.trim().split("\n").at(-1) ?? "");
  assert.ok(existsSync(path.join(folder, "report.pdf")));
  writeFileSync(path.join(place, "train.npz"), images(70));
  // two batches of 32
  assert.match(outputOf(training, "training.ts"), /^(\d\.\d+ \d+(\.\d+)?\n){2}$/);
  assert.ok(existsSync(path.join(place, "trained.onnx")));
});
