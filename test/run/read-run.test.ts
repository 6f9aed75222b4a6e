import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { printGraph } from "../../src/build/text.js";
import { runSummary } from "../../src/commands/summary.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { compareHtml } from "../../src/report/compare-page.js";
import { differenceTables } from "../../src/report/difference-tables.js";
import { findingsJson } from "../../src/report/finding-text.js";
import { memorySnapshot } from "../../src/report/memory-snapshot.js";
import { reportHtml } from "../../src/report/report.js";
import { activationCsv, moduleCsv, nodeCsv } from "../../src/report/tables.js";
import { traceJson } from "../../src/report/trace.js";
import { differencesOf } from "../../src/run/differences.js";
import { figures } from "../../src/run/figures.js";
import { ownOptions } from "../../src/run/own-options.js";
import { readRun } from "../../src/run/read-run.js";
import { planRun } from "../../src/run/replan.js";
import { loadGraph, type Run } from "../../src/run/run.js";
import { timedSteps } from "../../src/run/timed-steps.js";
import { goldenRun } from "../golden-run.js";
import { isOfJavaScript, mutants } from "../mutants.js";
import { refuses, withPlace } from "../refusals.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-read-run-"));

const file = (text: string): string => {
  const name = path.join(folder, "run.json");
  writeFileSync(name, text);
  return name;
};

const golden = goldenRun("resnet-h100");

test("readRun(file) refuses what is not a whole run of this version, in one line", () => {
  assert.throws(() => readRun("/nonexistent/run.json"), /cannot read run: .* \(ENOENT\)/);
  assert.throws(() => readRun(file('{"format": "mutwo-run", "ver')), /not JSON or is truncated/);
  assert.throws(() => readRun(file('{"a": 1}')), /not a mutwo run/);
  assert.throws(
    () => readRun(file('{"format": "mutwo-run", "version": 99}')),
    /format version 99, this mutwo reads 1:/,
  );
  assert.throws(() => readRun(file('{"format": "mutwo-run", "version": 1}')), /is damaged: id is missing/);
});

test("readRun(folder) reads the run.json in it, and names it where it cannot", () => {
  const name = file(JSON.stringify(golden));
  assert.deepEqual(readRun(folder), readRun(name));
  const none = mkdtempSync(path.join(folder, "none-"));
  assert.throws(() => readRun(none), { message: `cannot read run: ${path.join(none, "run.json")} (ENOENT)` });
});

test("readRun(file) reads warnings that are plain sentences, and says what each is about", () => {
  const sentences = [
    ["replayed from a recording: nothing was executed, and the planned step's time is simulated", "run"],
    ["the unplanned step does not fit into the device", "unplanned"],
    ["the unplanned step's loss is not finite from iteration 1 on", "unplanned"],
    ["the planned step's loss is not finite from iteration 1 on", "planned"],
    ["2 tensors of the planned step differ from the unplanned one's", "planned"],
    ["no PDF and no plots: no usable browser", "run"],
  ] as const;
  const old = { ...golden, warnings: sentences.map(([text]) => text) };
  assert.deepEqual(
    readRun(file(JSON.stringify(old))).warnings,
    sentences.map(([text, about]) => ({ about, text, ...(/^replayed/.test(text) ? { kind: "replayed" } : {}) })),
  );
});

test("readRun(file) says where a field is not what it should be: what is there, what is wanted", () => {
  refuses(golden, [
    ["model", undefined, "run is damaged: model is missing"],
    ["model.file", 5, "run is damaged: model.file is 5, not a text"],
    ["model.dims.batch", "8", 'run is damaged: model.dims.batch is "8", not a whole number'],
    ["model.dims", { ["__proto__"]: 0.5 }, "run is damaged: model.dims.__proto__ is 0.5, not a whole number"],
    ["environment", null, "run is damaged: environment is null, not an object"],
    ["createdAt", "soon", 'run is damaged: createdAt is "soon", not a time (2026-01-31T12:00:00.000Z)'],
    ["graph.nodes.0", null, "run is damaged: graph.nodes[0] is null, not an object"],
    ["graph.nodes.0.inputs", undefined, "run is damaged: graph.nodes[0].inputs is missing"],
    [
      "graph.nodes.0.attributes.group.type",
      "toString",
      /^run is damaged: graph\.nodes\[0\]\.attributes\.group\.type is "toString", not an attribute/,
    ],
    ["graph.tensors.0.shape.0", -4, "run is damaged: graph.tensors[0].shape[0] is -4, not a whole number from 0 on"],
    ["before.step", null, "run is damaged: before.step is null, not an object"],
    ["before.nodes.0.time", {}, "run is damaged: before.nodes[0].time.samplesMs is missing"],
    ["before.nodes.3.time.medianMs", -1, "run is damaged: before.nodes[3].time.medianMs is -1, not a number from 0 on"],
    ["before.step.samplesMs.1", "NaN", 'run is damaged: before.step.samplesMs[1] is "NaN", not a number'],
    ["before.timeline", undefined, "run is damaged: before.timeline is missing"],
    ["plan", "x", 'run is damaged: plan is "x", not an object'],
    ["plan.decisions", undefined, "run is damaged: plan.decisions is missing"],
    [
      "plan.decisions.0.action",
      "explode",
      'run is damaged: plan.decisions[0].action is "explode", not one of keep, recompute, swap',
    ],
    ["after", {}, "run is damaged: after.backend is missing"],
    ["tradeoff", [], "run is damaged: tradeoff is [], not points of a trade-off"],
    ["warnings", "all is well", 'run is damaged: warnings is "all is well", not a list'],
    [
      "warnings",
      ["a sentence", null],
      "run is damaged: warnings[1] is null, not a warning: a sentence, and which step it is about",
    ],
    ["warnings", [{ about: "weather", text: "a" }], /^run is damaged: warnings\[0\]/],
  ]);
});

test("readRun(file) escapes what a file holds, and keeps to one line", () => {
  const name = `\u001b[31m${"x".repeat(500)}\n`;
  const changed = withPlace(golden, ["model", "dims"], { [name]: "\u2028\u0007" });
  assert.throws(
    () => readRun(file(JSON.stringify(changed))),
    ({ message }: Error) => message.length < 300 && !/[\p{Cc}\u2028]/u.test(message),
  );
});

/** What the commands make of a run, without writing it. */
function everything(run: Run, other: Run): void {
  runSummary(run);
  reportHtml(run);
  findingsJson(run);
  for (const csv of [nodeCsv, activationCsv, moduleCsv]) {
    csv(run);
    if (run.plan) csv(run, "planned");
  }
  const steps = timedSteps(run);
  traceJson(run, steps);
  memorySnapshot(run, steps);
  const differences = differencesOf([other, run]);
  differenceTables(differences, 5);
  compareHtml(differences);
  for (const { of } of figures) of(run);
  ownOptions(run);
  const graph = loadGraph(run.graph);
  printGraph(graph, { types: true, maxElements: 8 });
  if (run.plan) rewrite(graph, run.plan.decisions);
  planRun(run, { planner: "sqrt", budget: "70%" });
}

/** Mutants that neither are refused in a line nor work; and how many were read. */
function hurtBy(name: Parameters<typeof goldenRun>[0], seed: number, count: number): { hurt: string[]; read: number } {
  const golden = goldenRun(name);
  const hurt: string[] = [];
  let read = 0;
  for (const { what, text } of mutants(golden, { seed, count })) {
    let run: Run;
    try {
      run = readRun(file(text));
    } catch (error) {
      const { message } = error as Error;
      if (isOfJavaScript(error) || message.includes("\n") || message.length > 300) hurt.push(`${what}: ${message}`);
      continue;
    }
    read++;
    try {
      everything(run, golden);
    } catch (error) {
      hurt.push(`${what}, when used: ${(error as Error).stack?.split("\n").slice(0, 3).join(" ")}`);
    }
  }
  return { hurt, read };
}

test("readRun(file) refuses each changed field in a line, or all that is made of the run works", () => {
  const count = Number(process.env.MUTANTS ?? 120);
  for (const [seed, name] of (["mlp-cpu", "resnet-h100", "gpt2-h100"] as const).entries()) {
    const { hurt, read } = hurtBy(name, seed, count);
    assert.deepEqual(hurt, []);
    assert.ok(read > 0 && read < count / 2, `${read} of ${count} were read`);
  }
});
