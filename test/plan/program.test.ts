import assert from "node:assert/strict";
import { test } from "node:test";
import { type Graph, prune } from "../../src/graph/graph.js";
import { randomFrom } from "../../src/graph/random.js";
import { activationRows } from "../../src/memory/activation-rows.js";
import { type Allowed, allowedActions } from "../../src/plan/allowed.js";
import { Evaluator } from "../../src/plan/evaluator.js";
import type { PlanProblem } from "../../src/plan/plan.js";
import { PlanProgram } from "../../src/plan/program.js";
import { alone, held, keep, swapped } from "../../src/plan/schedule.js";
import type { IntegerProgram, Solved } from "../../src/plan/solver.js";
import { lower } from "../../src/step/lower.js";
import { trainingStep } from "../../src/step/training.js";
import { randomGraph } from "../random-graph.js";

// BOUND_GRAPHS=300 npm test -- program looks further; BOUND_SEED starts elsewhere
const count = Number(process.env.BOUND_GRAPHS ?? 40);
const firstSeed = Number(process.env.BOUND_SEED ?? 1);

const { solve } = require("../../src/plan/highs.cjs") as {
  solve(program: IntegerProgram & { timeLimitMs: number }, tell: (solved: Solved) => void): Promise<void>;
};

async function solved({ columns, rows }: IntegerProgram): Promise<Solved> {
  let last: Solved | undefined;
  await solve({ columns, rows, timeLimitMs: 60_000 }, (result) => {
    last = result;
  });
  return last as Solved;
}

/** A problem with random times, of whose activations some six may be evicted: few enough to try all plans. */
function problemOf(graph: Graph, seed: number, free: number): PlanProblem {
  const random = randomFrom(seed);
  const nodeMs = graph.nodes.map(() => 0.1 + random());
  const copyMs = random() < 0.5 ? 1e-3 : 1e-2;
  const rows = activationRows(graph, nodeMs, { swapMs: (bytes) => copyMs * bytes * random(), swapMeasured: false });
  const problem = { graph, nodeMs, rows, budgetBytes: null };
  const able = [...allowedActions(problem)].filter(([, { recompute, swap }]) => recompute || swap);
  const kept = able.map(([name]) => ({ name, at: random() })).sort((a, z) => a.at - z.at);
  return { ...problem, constraints: { keep: kept.slice(free).map(({ name }) => name) } };
}

/** Peak and time of all plans, and of the unplanned step first. */
function allPlans(problem: PlanProblem, evaluator: Evaluator): { peakBytes: number; totalMs: number }[] {
  const allowed = allowedActions(problem);
  const actions = evaluator.graph.activations.map((name) => {
    const { recompute, swap } = allowed.get(name) as Allowed;
    return [keep, ...(recompute ? [alone, held] : []), ...(swap ? [swapped] : [])];
  });
  const vector = new Uint8Array(actions.length);
  const plans: { peakBytes: number; totalMs: number }[] = [];
  const walk = (at: number): void => {
    if (at === actions.length) {
      const { peakBytes, totalMs } = evaluator.evaluate(vector);
      plans.push({ peakBytes, totalMs });
      return;
    }
    for (const action of actions[at] as number[]) {
      vector[at] = action;
      walk(at + 1);
    }
  };
  walk(0);
  return plans;
}

/** Holds the bound of some budgets against the best of all plans; returns bound and optimum where both are above 0. */
async function holds(problem: PlanProblem, what: string): Promise<[bound: number, optimum: number][]> {
  const evaluator = new Evaluator(
    problem.graph,
    problem.nodeMs,
    problem.rows.map(({ swapMs }) => swapMs),
  );
  const plans = allPlans(problem, evaluator);
  const base = plans[0] as { peakBytes: number; totalMs: number };
  const peaks = [...new Set(plans.map(({ peakBytes }) => peakBytes))].sort((a, z) => a - z);
  const pairs: [number, number][] = [];
  for (const share of [0, 0.25, 0.5, 0.75]) {
    const budgetBytes = peaks[Math.floor(share * peaks.length)] as number;
    const optimum =
      Math.min(...plans.filter(({ peakBytes }) => peakBytes <= budgetBytes).map(({ totalMs }) => totalMs)) -
      base.totalMs;
    const program = new PlanProgram({ ...problem, budgetBytes }, evaluator);
    if (program.isEmpty) continue;
    const { status, bound } = await solved(program);
    assert.equal(status, "optimal", `${what} at ${budgetBytes} B, where plans fit`);
    const boundMs = program.toMs(bound ?? 0);
    assert.ok(boundMs <= optimum + 1e-6 * base.totalMs, `${what} at ${budgetBytes} B: ${boundMs} > ${optimum} ms`);
    if (optimum > 0) pairs.push([boundMs, optimum]);
  }
  return pairs;
}

test("PlanProgram: no plan of random steps takes less time than the bound", { timeout: 600_000 }, async () => {
  const pairs: [number, number][] = [];
  for (let seed = firstSeed; seed < firstSeed + count; seed++) {
    const forward = randomGraph(seed).graph;
    const used = prune({ ...forward, state: [] });
    const needed = prune({ ...forward, state: forward.state.filter(({ before }) => used.tensors.has(before)) });
    const step = trainingStep(needed, { loss: "mse", optimizer: seed % 2 ? "sgd" : "adam" });
    const graph = lower(step, () => true);
    pairs.push(...(await holds(problemOf(graph, seed, 5), `seed ${seed}`)));
  }
  if (process.env.BOUND_GRAPHS) {
    const exact = pairs.filter(([bound, optimum]) => bound > 0.999 * optimum).length;
    const mean = pairs.reduce((sum, [bound, optimum]) => sum + bound / optimum, 0) / pairs.length;
    console.log(`${pairs.length} budgets: exact for ${exact}, ${mean.toFixed(3)} of the optimum on average`);
  }
});
