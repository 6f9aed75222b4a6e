import assert from "node:assert/strict";
import { test } from "node:test";
import { planGraph } from "../../src/plan/planners/index.js";
import { planProblem } from "../../src/run/replan.js";
import { loadGraph } from "../../src/run/run.js";
import { boundsOf, frontier, kneeOf, leastPeakOf, type TradeoffPoint, tradeoffOf } from "../../src/run/tradeoff.js";
import { goldenRun } from "../golden-run.js";

const point = (peakBytes: number, addedMs: number): TradeoffPoint => ({
  planner: "best",
  budgetBytes: peakBytes,
  peakBytes,
  hostBytes: 0,
  addedMs,
  copiesSimulated: false,
});

const run = goldenRun("resnet-h100");
const problem = planProblem(loadGraph(run.graph), run.before, { planner: "best", moves: 300, timeLimit: 1 });
const points = tradeoffOf(problem);

test("tradeoffOf(problem) has the plan of each planner for each budget that it reaches, and its least peak", () => {
  for (const { planner, budgetBytes, peakBytes, addedMs, hostBytes } of points) {
    const plan = planGraph({ ...problem, planner, budgetBytes });
    assert.ok(plan.feasible);
    if (planner === "best") {
      // its own plan, or a faster one of the sweep
      assert.ok(addedMs <= plan.addedMs, `${addedMs} ${plan.addedMs}`);
      const others = points.filter((one) => one.peakBytes <= (budgetBytes as number));
      assert.equal(addedMs, Math.min(...others.map((one) => one.addedMs)));
    } else
      assert.deepEqual(
        [planner, plan.peakBytes, plan.addedMs, plan.hostBytes],
        [planner, peakBytes, addedMs, hostBytes],
      );
    assert.ok(budgetBytes === null || peakBytes <= budgetBytes, `${planner}: ${peakBytes} in ${budgetBytes}`);
  }
  const own = points.filter(({ planner }) => planner === "best");
  assert.ok(planGraph({ ...problem, planner: "best", budgetBytes: 1 }).minimumPeakBytes < (own[0]?.peakBytes ?? 0));
  // a smaller budget never costs less time
  own.slice(1).forEach((one, i) => void assert.ok(one.addedMs >= (own[i]?.addedMs ?? 0)));
  assert.ok(own.length > 10 && own.length <= 21, `${own.length} budgets`);
  for (const planner of ["keepAll", "recomputeAll", "swapAll"])
    assert.equal(points.filter((one) => one.planner === planner).length, 1);
});

test("tradeoffOf(problem) keeps to constraints: without swap or recompute only the unplanned step is left", () => {
  const bound = planProblem(loadGraph(run.graph), run.before, {
    planner: "best",
    swap: false,
    recompute: false,
    timeLimit: 1,
  });
  const peaks = new Set(tradeoffOf(bound).map(({ peakBytes }) => peakBytes));
  assert.deepEqual([...peaks], [planGraph({ ...problem, planner: "keepAll", budgetBytes: null }).peakBytes]);
});

test("boundsOf(points) is the greatest bound of each budget and of those above it", () => {
  const proven = [10, 8, 8, 6, 4].map((bytes, i) => ({
    ...point(bytes, 9),
    ...(i === 3 ? {} : { boundMs: [0, 2, 1, 0, 1][i] }),
  }));
  assert.deepEqual(
    boundsOf(proven).map(({ budgetBytes, boundMs }) => [budgetBytes, boundMs]),
    [
      [10, 0],
      [8, 2],
      [6, 2],
      [4, 2],
    ],
  );
  assert.deepEqual(boundsOf([point(10, 0)]), []);
});

test("frontier(points) has no point that another one beats, by falling peak", () => {
  const front = frontier([point(10, 0), point(8, 5), point(9, 5), point(8, 6), point(4, 4), point(2, 9)]);
  assert.deepEqual(
    front.map(({ peakBytes, addedMs }) => [peakBytes, addedMs]),
    [
      [10, 0],
      [4, 4],
      [2, 9],
    ],
  );
});

test("kneeOf(points) is farthest below the chord; a line, two points and a bulge above it have none", () => {
  assert.equal(kneeOf([point(10, 0), point(6, 1), point(4, 2), point(2, 10)], 100)?.peakBytes, 4);
  assert.equal(kneeOf([point(10, 0), point(6, 4), point(2, 8)], 100), null);
  assert.equal(kneeOf([point(10, 0), point(9, 8), point(0, 10)], 100), null);
  assert.equal(kneeOf([point(10, 0), point(2, 8)], 100), null);
  const dear = [point(10, 0), point(6, 1), point(4, 2), point(2, 10), point(1, 1000)];
  assert.equal(kneeOf(dear, 100)?.peakBytes, 4, "a point that takes ten times the step counts for nothing");
  assert.equal(kneeOf(dear, 1000)?.peakBytes, 2);
});

test("leastPeakOf(points) is the least peak in the least time", () => {
  assert.deepEqual(leastPeakOf([point(10, 0), point(2, 8), point(2, 5)]), point(2, 5));
  assert.throws(() => leastPeakOf([]), /no points/);
});
