import assert from "node:assert/strict";
import { after, test } from "node:test";
import { layout } from "../../../src/memory/layout.js";
import { planGraph } from "../../../src/plan/planners/index.js";
import { rewrite } from "../../../src/plan/rewrite.js";
import { openCpu } from "../../../src/runtime/cpu.js";
import { resnetProblem } from "../../problem.js";
import { outcome } from "../../step.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const problem = resnetProblem(runtime);

const unplanned = layout(problem.graph).arenaBytes;

const plan = (share: number) => planGraph({ ...problem, budgetBytes: Math.floor(share * unplanned), planner: "sqrt" });

test("sqrt: the fastest number of segments that fits; a smaller budget never takes less time", () => {
  let before = 0;
  for (const share of [1, 0.9, 0.8, 0.7, 0.2]) {
    const { feasible, peakBytes, addedMs, decisions, states, minimumPeakBytes } = plan(share);
    assert.equal(peakBytes, layout(rewrite(problem.graph, decisions, states)).arenaBytes);
    assert.equal(feasible, peakBytes <= Math.floor(share * unplanned));
    if (!feasible) assert.ok(peakBytes >= minimumPeakBytes);
    else assert.ok(addedMs >= before);
    before = addedMs;
  }
  assert.deepEqual([plan(1).decisions.length, plan(0.2).feasible], [0, false]);
});

test("sqrt keeps what bounds segments, the others are made once and held", async () => {
  const { decisions, kept } = plan(0.8);
  assert.ok(decisions.length && kept > 0);
  assert.ok(decisions.every(({ action, held }) => action === "recompute" && held));
  for (const { why } of decisions) assert.match(why, /inside one of \d+ segments of about /);
  const expected = await outcome(runtime, problem.graph);
  const actual = await outcome(runtime, rewrite(problem.graph, decisions));
  for (const [name, bytes] of expected) assert.ok(Buffer.compare(actual.get(name) as Uint8Array, bytes) === 0, name);
});
