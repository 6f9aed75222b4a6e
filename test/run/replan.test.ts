import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { warningsOf } from "../../src/run/notes.js";
import { readRun } from "../../src/run/read-run.js";
import { makePlan, type PlanSettings, planProblem, planRun, sweepRun } from "../../src/run/replan.js";
import { loadGraph, type Run } from "../../src/run/run.js";
import { goldenRun } from "../golden-run.js";

const saved = goldenRun("gpt2-h100");

/** The saved run with both losses not finite and a tensor that differs. */
function spoilt(): Run {
  const { before, after, equality } = goldenRun("mlp-cpu");
  if (!after || !equality) throw new Error("the golden run has a planned step");
  const bad = { ...before, losses: [1, null] };
  const worse = { ...after, losses: [null] };
  const warnings = warningsOf(bad, worse, { ...equality, different: ["loss in step 1"] });
  return { ...saved, warnings: [...warnings, { about: "run", text: "no PDF and no plots: no usable browser" }] };
}

test("planRun(run) drops the warnings about the planned step, and no other", () => {
  const run = spoilt();
  assert.deepEqual(
    run.warnings.map(({ about }) => about),
    ["unplanned", "planned", "planned", "run"],
  );
  assert.deepEqual(planRun(run, { budget: "90%" }).warnings, [
    {
      about: "unplanned",
      text: "the unplanned step's loss is not finite: of 2 recorded losses number 2 is the first",
    },
    { about: "run", text: "no PDF and no plots: no usable browser" },
  ]);
});

test("planRun(run) says that a recording was replayed, and no more of a step that it does not have", () => {
  assert.match(saved.warnings[0]?.text ?? "", /^replayed from a recording: .*the planned step's time is simulated/);
  assert.deepEqual(planRun(saved, { budget: "90%" }).warnings, [
    { about: "run", kind: "replayed", text: "replayed from a recording: nothing was executed, allocated or compared" },
  ]);
});

test("planRun(run) says no more of an old run's recording, whose planned step the run has lost", () => {
  const old = path.join(mkdtempSync(path.join(tmpdir(), "mutwo-replan-")), "run.json");
  const warnings = saved.warnings.map(({ text }) => text);
  writeFileSync(old, JSON.stringify({ ...saved, after: null, warnings }));
  assert.deepEqual(
    planRun(readRun(old), { budget: "90%" }).warnings.map(({ text }) => text),
    ["replayed from a recording: nothing was executed, allocated or compared"],
  );
});

test("planRun(run) keeps what was measured and leaves out what only the old plan had", () => {
  const again = planRun(saved, { planner: "keepAll", command: "mutwo plan run.json" });
  assert.notEqual(again.id, saved.id);
  assert.equal(again.before, saved.before);
  assert.equal(again.plan?.planner, "keepAll");
  assert.deepEqual(again.plan?.decisions, []);
  assert.deepEqual([again.after, again.equality, again.paired], [null, null, null]);
  assert.equal(again.command, "mutwo plan run.json");
  assert.throws(() => planRun(saved, { planner: "magic" }), /unknown planner: magic/);
  assert.throws(() => planRun(saved, { budget: "lots" }), /budget is not a size: lots/);
});

test("makePlan(graph, profile, options) puts what μ-TWO comes to beside a plan for a budget, unless it is μ-TWO's", () => {
  const graph = loadGraph(saved.graph);
  const plan = (planner: string, more: object = {}) =>
    makePlan(graph, saved.before, { planner, budget: "85%", moves: 50, ...more });
  const own = plan("mutwo");
  assert.equal(own.beside, undefined);
  for (const other of [plan("best"), plan("mutwo", { variant: "printed" })]) {
    const [beside] = other.beside ?? [];
    const { planner, feasible, peakBytes, addedMs } = own;
    const recomputed = own.decisions.filter(({ action }) => action === "recompute").length;
    const swapped = own.decisions.length - recomputed;
    assert.deepEqual(beside, { planner, feasible, peakBytes, addedMs, recomputed, swapped });
  }
});

test("makePlan(graph, profile, options) is the plan that the run has, budget or none", () => {
  const plan = makePlan(loadGraph(saved.graph), saved.before, { planner: "swapAll" });
  assert.deepEqual({ ...plan, planningMs: 1 }, saved.plan);
  assert.equal(
    makePlan(loadGraph(saved.graph), saved.before, { planner: "mutwo", budget: "50%" }).budgetBytes,
    Math.floor(saved.before.arenaBytes / 2),
  );
});

test("sweepRun(run) adds the trade-off to a run and keeps its plan; run.json holds it, and another plan keeps it", () => {
  const swept = sweepRun(saved, { moves: 50, timeLimit: 0.5, command: "mutwo plan run.json --sweep" });
  assert.notEqual(swept.id, saved.id);
  assert.equal(swept.plan, saved.plan);
  assert.equal(swept.command, "mutwo plan run.json --sweep");
  const file = path.join(mkdtempSync(path.join(tmpdir(), "mutwo-sweep-")), "run.json");
  writeFileSync(file, JSON.stringify(swept));
  assert.deepEqual(readRun(file).tradeoff, swept.tradeoff);
  assert.equal(planRun(swept, { planner: "keepAll" }).tradeoff, swept.tradeoff);
  assert.throws(() => sweepRun(saved, { budget: "50%" }), /--sweep takes every planner and budget: --budget 50%/);
  writeFileSync(file, JSON.stringify({ ...swept, tradeoff: [] }));
  assert.throws(() => readRun(file), /run is damaged: tradeoff is \[\], not points of a trade-off/);
});

test("planProblem: on the CPU nothing is swapped unless that is asked for; on a GPU it is", () => {
  const swaps = (name: Parameters<typeof goldenRun>[0], settings: Partial<PlanSettings>): boolean => {
    const { graph, before } = goldenRun(name);
    const { constraints } = planProblem(loadGraph(graph), before, { planner: "best", budget: "80%", ...settings });
    return constraints?.swap !== false;
  };
  assert.ok(!swaps("mlp-cpu", {}));
  assert.ok(swaps("mlp-cpu", { swap: true }));
  assert.ok(swaps("mlp-cpu", { planner: "swapAll" }));
  assert.ok(swaps("mlp-cpu", { hostMemory: "1GiB" }));
  assert.ok(swaps("resnet-h100", {}));
  assert.ok(!swaps("resnet-h100", { swap: false }));
});
