import assert from "node:assert/strict";
import { test } from "node:test";
import { type IntegerProgram, startSolve } from "../../src/plan/solver.js";

/** The cheapest of three things that weigh 4 or more together. */
const knapsack = (least: number): IntegerProgram => ({
  columns: [3, 4, 6].map((cost) => ({ cost, upper: 1, whole: true })),
  rows: [
    {
      terms: [
        [0, 1],
        [1, 2],
        [2, 2],
        [2, 1],
      ],
      least,
    },
  ],
});

test("startSolve() solves a program in another process; a column may stand twice in a row", () => {
  const solved = startSolve(knapsack(4), 30_000).collect(60_000);
  assert.equal(solved?.status, "optimal");
  assert.ok(Math.abs((solved?.objective ?? 0) - 9) < 1e-6 && Math.abs((solved?.bound ?? 0) - 9) < 1e-2);
  assert.deepEqual(solved?.values?.map(Math.round), [1, 0, 1]);
});

test("startSolve(): several at once; one without a solution says so; an answer stays", () => {
  const both = [knapsack(7), knapsack(6)].map((program) => startSolve(program, 30_000));
  assert.deepEqual(
    both.map((solving) => solving.collect(60_000)?.status),
    ["infeasible", "optimal"],
  );
  assert.equal(both[0]?.collect(0)?.status, "infeasible");
});

test("startSolve(): who does not wait knows nothing, and the process is over", () => {
  assert.equal(startSolve(knapsack(4), 30_000).collect(0), undefined);
});
