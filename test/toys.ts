import { type Graph, prune } from "../src/graph/graph.js";
import { randomFrom } from "../src/graph/random.js";
import { activationRows } from "../src/memory/activation-rows.js";
import { type Allowed, allowedActions } from "../src/plan/allowed.js";
import type { Evaluator } from "../src/plan/evaluator.js";
import type { PlanProblem } from "../src/plan/plan.js";
import { alone, held, keep, swapped } from "../src/plan/schedule.js";
import { lower } from "../src/step/lower.js";
import { trainingStep } from "../src/step/training.js";
import { randomGraph } from "./random-graph.js";

/** The training step of a random graph with random times, of which so many activations may be evicted. */
export function toyProblem(seed: number, free: number): PlanProblem {
  const forward = randomGraph(seed).graph;
  const used = prune({ ...forward, state: [] });
  const needed = prune({ ...forward, state: forward.state.filter(({ before }) => used.tensors.has(before)) });
  const step = trainingStep(needed, { loss: "mse", optimizer: seed % 2 ? "sgd" : "adam" });
  return problemOf(
    lower(step, () => true),
    seed,
    free,
  );
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
export function allPlans(problem: PlanProblem, evaluator: Evaluator): { peakBytes: number; totalMs: number }[] {
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

/** Some budgets that plans meet, from the least on, and the time of the fastest plan within each. */
export function optima(
  plans: readonly { peakBytes: number; totalMs: number }[],
): (readonly [budgetBytes: number, totalMs: number])[] {
  const peaks = [...new Set(plans.map(({ peakBytes }) => peakBytes))].sort((a, z) => a - z);
  return [0, 0.25, 0.5, 0.75].map((share) => {
    const budgetBytes = peaks[Math.floor(share * peaks.length)] as number;
    const within = plans.filter(({ peakBytes }) => peakBytes <= budgetBytes);
    return [budgetBytes, Math.min(...within.map(({ totalMs }) => totalMs))];
  });
}
