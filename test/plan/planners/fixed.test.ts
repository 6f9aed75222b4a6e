import assert from "node:assert/strict";
import { after, test } from "node:test";
import { originalName } from "../../../src/graph/names.js";
import { layout } from "../../../src/memory/layout.js";
import { planGraph } from "../../../src/plan/planners/index.js";
import { rewrite } from "../../../src/plan/rewrite.js";
import { openCpu } from "../../../src/runtime/cpu.js";
import { resnetProblem } from "../../problem.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const problem = resnetProblem(runtime);

test("keepAll decides nothing; it fits where the step does", () => {
  const { arenaBytes } = layout(problem.graph);
  const plan = (budgetBytes: number | null) => planGraph({ ...problem, budgetBytes, planner: "keepAll" });
  const { decisions, kept, peakBytes, addedMs, feasible, obstacle } = plan(null);
  assert.deepEqual([decisions, kept, peakBytes], [[], problem.rows.length, arenaBytes]);
  assert.ok(Math.abs(addedMs) < 1e-9);
  assert.deepEqual([feasible, obstacle], [true, null]);
  assert.equal(plan(arenaBytes).feasible, true);
  const less = plan(arenaBytes - 1);
  // others reach less, and the plan says so
  assert.deepEqual([less.feasible, less.peakBytes], [false, arenaBytes]);
  assert.ok(less.minimumPlanner && less.minimumPeakBytes < arenaBytes);
  assert.ok(less.obstacle?.holders.length);
});

test("recomputeAll recomputes all that can be; the predicted arena and time are those of the rewritten graph", () => {
  const { graph, nodeMs, rows } = problem;
  const { decisions, kept, peakBytes, addedMs } = planGraph({ ...problem, planner: "recomputeAll" });
  const able = rows.filter(({ fixed, memoryBytes }) => fixed === null && memoryBytes > 0);
  assert.deepEqual(
    decisions.map(({ activation }) => activation),
    able.map(({ name }) => name),
  );
  assert.deepEqual(
    [kept, new Set(decisions.map(({ action }) => action))],
    [rows.length - able.length, new Set(["recompute"])],
  );
  const planned = rewrite(graph, decisions);
  assert.equal(layout(planned).arenaBytes, peakBytes);
  const ms = new Map(graph.nodes.map(({ name }, rank) => [name, nodeMs[rank] as number]));
  const total = planned.nodes.reduce((sum, { name }) => sum + (ms.get(originalName(name)) as number), 0);
  assert.ok(Math.abs(total - nodeMs.reduce((sum, one) => sum + one, 0) - addedMs) < 1e-6);
});
