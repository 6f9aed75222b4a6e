import assert from "node:assert/strict";
import { after, test } from "node:test";
import { layout } from "../../../src/memory/layout.js";
import { peakBytes } from "../../../src/memory/liveness.js";
import { planGraph } from "../../../src/plan/planners/index.js";
import { better, type Candidate, choose } from "../../../src/plan/planners/mutwo.js";
import { rewrite } from "../../../src/plan/rewrite.js";
import { openCpu } from "../../../src/runtime/cpu.js";
import { resnetProblem } from "../../problem.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const problem = resnetProblem(runtime);

const resnet = problem.graph;

const plan = (budgetBytes: number) => planGraph({ ...problem, budgetBytes, planner: "mutwo" });

test("mutwo: a plan that says it fits does; the peak never rises when the budget falls (100 budgets)", () => {
  const baseline = layout(resnet).arenaBytes;
  let last = Number.POSITIVE_INFINITY;
  let feasible = 0;
  for (let share = 100; share >= 1; share--) {
    const budget = Math.floor((baseline * share) / 100);
    const answer = plan(budget);
    assert.ok(answer.peakBytes <= last, `${share} %`);
    last = answer.peakBytes;
    assert.equal(layout(rewrite(resnet, answer.decisions)).arenaBytes, answer.peakBytes);
    if (answer.feasible) {
      feasible++;
      assert.ok(answer.peakBytes <= budget);
    } else {
      assert.equal(answer.peakBytes, answer.minimumPeakBytes);
      assert.ok(answer.minimumPeakBytes > budget);
      assert.ok(answer.obstacle?.node);
    }
  }
  assert.ok(feasible > 20 && feasible < 100, `${feasible} feasible`);
});

test("mutwo: each decision lowers the simulated peak or is followed by one that does, and says why", () => {
  const { decisions, addedMs } = plan(Math.floor(layout(resnet).arenaBytes * 0.8));
  assert.ok(decisions.length > 0);
  const sum = decisions.reduce((total, decision) => total + decision.addedMs, 0);
  assert.ok(Math.abs(sum - addedMs) < 1e-9);
  for (const { why } of decisions)
    assert.match(why, /idle for .* across the peak at .*: .* are free for .* of recomputation/);
  assert.ok((decisions.at(-1)?.peakBytesAfter as number) < peakBytes(resnet));
});

/** The chain of mutwo.md §14: A1..A4, each recomputed from the one before. */
const chain = (): Map<string, Candidate> =>
  new Map(
    [5, 4, 3, 2].map((ms, i): [string, Candidate] => [
      `A${i + 1}`,
      {
        row: { name: `A${i + 1}`, memoryBytes: 8, createdRank: 2 * i + 1 },
        sources: new Set(i ? [`A${i}`] : []),
        recomputeMs: ms,
        totalMs: ms,
        ratio: 8 / ms,
      },
    ]),
  );

test("choose(…) reproduces the golden vectors of μ-TWO's Algorithms E and F, printed and mended", () => {
  const pick = (variant: "printed" | "mended", steps: number) => {
    const remaining = chain();
    const taken: Candidate[] = [];
    for (let i = 0; i < steps; i++) {
      const best = [...remaining.values()].reduce((a, z) => (better(z, a) ? z : a));
      remaining.delete(best.row.name);
      taken.push(best);
      choose(best, taken, remaining.values(), variant);
    }
    return { order: taken.map(({ row }) => row.name), total: (name: string) => remaining.get(name)?.totalMs };
  };
  assert.deepEqual(pick("printed", 4).order, ["A4", "A3", "A1", "A2"]);
  assert.equal(pick("printed", 1).total("A3"), 3);
  assert.equal(pick("mended", 1).total("A3"), 6);
  assert.equal(pick("printed", 2).total("A2"), 8);
  assert.equal(pick("printed", 3).total("A2"), 27);
});

test("choose(…) reproduces the golden vectors of μ-TWO's Algorithms E and F, printed and mended", () => {
  const pick = (variant: "printed" | "mended", steps: number) => {
    const remaining = chain();
    const taken: Candidate[] = [];
    for (let i = 0; i < steps; i++) {
      const best = [...remaining.values()].reduce((a, z) => (better(z, a) ? z : a));
      remaining.delete(best.row.name);
      taken.push(best);
      choose(best, taken, remaining.values(), variant);
    }
    return { order: taken.map(({ row }) => row.name), total: (name: string) => remaining.get(name)?.totalMs };
  };
  assert.deepEqual(pick("printed", 4).order, ["A4", "A3", "A1", "A2"]);
  assert.equal(pick("printed", 1).total("A3"), 3);
  assert.equal(pick("mended", 1).total("A3"), 6);
  assert.equal(pick("printed", 2).total("A2"), 8);
  assert.equal(pick("printed", 3).total("A2"), 27);
});
