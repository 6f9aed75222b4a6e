import assert from "node:assert/strict";
import { test } from "node:test";
import { Evaluator } from "../../src/plan/evaluator.js";
import type { PlanProblem } from "../../src/plan/plan.js";
import { PlanProgram } from "../../src/plan/program.js";
import type { IntegerProgram, Solved } from "../../src/plan/solver.js";
import { allPlans, optima, toyProblem } from "../toys.js";

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

/** Holds the bound of some budgets against the best of all plans; returns bound and optimum where both are above 0. */
async function holds(problem: PlanProblem, what: string): Promise<[bound: number, optimum: number][]> {
  const evaluator = new Evaluator(
    problem.graph,
    problem.nodeMs,
    problem.rows.map(({ swapMs }) => swapMs),
  );
  const plans = allPlans(problem, evaluator);
  const base = plans[0] as { peakBytes: number; totalMs: number };
  const pairs: [number, number][] = [];
  for (const [budgetBytes, totalMs] of optima(plans)) {
    const optimum = totalMs - base.totalMs;
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
    pairs.push(...(await holds(toyProblem(seed, 5), `seed ${seed}`)));
  }
  if (process.env.BOUND_GRAPHS) {
    const exact = pairs.filter(([bound, optimum]) => bound > 0.999 * optimum).length;
    const mean = pairs.reduce((sum, [bound, optimum]) => sum + bound / optimum, 0) / pairs.length;
    console.log(`${pairs.length} budgets: exact for ${exact}, ${mean.toFixed(3)} of the optimum on average`);
  }
});
