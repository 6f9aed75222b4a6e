import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import { activationRows } from "../../../src/memory/activation-rows.js";
import { Descent } from "../../../src/plan/planners/descent.js";
import { Drafts } from "../../../src/plan/planners/drafts.js";
import { planGraph } from "../../../src/plan/planners/index.js";
import { openCpu } from "../../../src/runtime/cpu.js";
import { chainText, resnetProblem } from "../../problem.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const drafts = new Drafts(resnetProblem(runtime));

test("Descent.run(): each draft holds the last one's decisions or fewer live bytes at its peak, and the goal is met last", () => {
  const goal = Math.floor(0.7 * drafts.empty.peakBytes);
  for (const again of ["hold", "recompute"] as const) {
    const way = new Descent(drafts, goal, again).run();
    assert.equal(way[0], drafts.empty);
    assert.ok(way.length > 1);
    for (const [i, draft] of way.entries())
      assert.equal(draft.peakBytes <= goal, i === way.length - 1, `${again} ${i}`);
    assert.ok(way.every(({ taken }) => taken.every(({ action }) => action === "swap" || action === again)));
  }
});

test("Descent.run(): copies that are held where they fit no longer are let go", () => {
  const way = new Descent(drafts, 0, "hold").run();
  const actions = new Set(way.at(-1)?.taken.map(({ action }) => action));
  assert.ok(actions.has("recompute") && actions.has("hold"), [...actions].join());
});

test("mutwo: a chain that keeps a fifth adds no more than half of the step, as it is made again once", () => {
  const graph = parseGraph(chainText(200));
  const nodeMs = graph.nodes.map(() => 1);
  const rows = activationRows(graph, nodeMs, { swapMs: () => 1000, swapMeasured: false });
  const [most, least] = [200, 40];
  const budgetBytes = Math.floor(
    (least / most) * new Drafts({ graph, nodeMs, rows, budgetBytes: null }).empty.peakBytes,
  );
  const { feasible, addedMs } = planGraph({ graph, nodeMs, rows, budgetBytes, planner: "mutwo" });
  assert.ok(feasible);
  assert.ok(addedMs <= 0.5 * nodeMs.length, `${addedMs}`);
});
