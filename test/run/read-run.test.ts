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

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-read-run-"));

const file = (text: string): string => {
  const name = path.join(folder, "run.json");
  writeFileSync(name, text);
  return name;
};

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
  const count = Number(process.env.MUTANTS ?? 250);
  for (const [seed, name] of (["mlp-cpu", "resnet-h100", "gpt2-h100"] as const).entries()) {
    const { hurt, read } = hurtBy(name, seed, count);
    assert.deepEqual(hurt, []);
    assert.ok(read > 0 && read < count / 2, `${read} of ${count} were read`);
  }
});
