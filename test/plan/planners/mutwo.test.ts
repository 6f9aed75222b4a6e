import assert from "node:assert/strict";
import { after, test } from "node:test";
import { layout } from "../../../src/memory/layout.js";
import { peakBytes } from "../../../src/memory/liveness.js";
import type { Plan, PlanProblem } from "../../../src/plan/plan.js";
import { planGraph } from "../../../src/plan/planners/index.js";
import { judge } from "../../../src/plan/planners/prefix.js";
import { rewrite } from "../../../src/plan/rewrite.js";
import { loadGraph } from "../../../src/run/run.js";
import { openCpu } from "../../../src/runtime/cpu.js";
import { goldenRun } from "../../golden-run.js";
import { resnetProblem } from "../../problem.js";
import { outcome } from "../../step.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

/** Copies at 1 MB/s, and at 100 GB/s. */
const [slow, fast] = [1e3, 1e8].map((bytesPerMs): PlanProblem => {
  const problem = resnetProblem(runtime);
  return { ...problem, rows: problem.rows.map((row) => ({ ...row, swapMs: row.memoryBytes / bytesPerMs })) };
}) as [PlanProblem, PlanProblem];

const resnet = fast.graph;

const baseline = layout(resnet).arenaBytes;

const plan = (problem: PlanProblem, share: number): Plan =>
  planGraph({ ...problem, budgetBytes: Math.floor(share * baseline), planner: "mutwo" });

const swaps = ({ decisions }: Plan) => decisions.filter(({ action }) => action === "swap");

for (const [name, problem] of [
  ["slow copies", slow],
  ["fast copies", fast],
] as const)
  test(`mutwo: a plan that says it fits does; whatever fits a budget fits all larger ones (20 budgets, ${name})`, () => {
    let feasible = 0;
    let isOver = false;
    for (let percent = 100; percent >= 1; percent -= 5) {
      const answer = plan(problem, percent / 100);
      const places = layout(rewrite(resnet, answer.decisions, answer.states));
      assert.equal(places.arenaBytes, answer.peakBytes);
      assert.equal(places.hostBytes, answer.hostBytes);
      if (answer.feasible) {
        feasible++;
        assert.ok(!isOver, `${percent} %`);
        assert.ok(answer.peakBytes <= Math.floor((percent / 100) * baseline));
      } else {
        isOver = true;
        assert.equal(answer.peakBytes, answer.minimumPeakBytes);
        assert.ok(answer.obstacle?.node);
      }
    }
    assert.ok(feasible > 4 && feasible < 20, `${feasible} feasible`);
  });

test("mutwo: decisions say why, their times add up, and the last peak is the plan's", () => {
  for (const problem of [slow, fast]) {
    const answer = plan(problem, 0.75);
    const { decisions, addedMs } = answer;
    assert.ok(decisions.length > 0);
    const sum = decisions.reduce((total, decision) => total + decision.addedMs, 0);
    assert.ok(Math.abs(sum - addedMs) < 1e-6, `${sum} ${addedMs}`);
    for (const { action, why } of decisions)
      assert.match(
        why,
        action === "swap"
          ? /idle for .* across the peak at .*: .* are free for two copies of .* \(simulated\), away before \S+, back from \S+ on/
          : /idle for .* across the peak at .*: .* are free for .* of recomputation/,
      );
    assert.ok((decisions.at(-1)?.peakBytesAfter as number) < peakBytes(resnet));
    assert.equal(decisions.at(-1)?.peakBytesAfter, answer.timelinePeakBytes);
  }
});

test("mutwo swaps where that costs less than making again, and never where copies are slow", () => {
  for (const share of [0.9, 0.7, 0.6]) {
    assert.equal(swaps(plan(slow, share)).length, 0);
    assert.ok(swaps(plan(fast, share)).length > 0, `${share}`);
    assert.ok(plan(fast, share).addedMs <= plan(slow, share).addedMs);
  }
});

test("mutwo: no decision of a plan can be dropped for free", () => {
  for (const problem of [slow, fast])
    for (const share of [0.9, 0.75, 0.6]) {
      const { decisions, addedMs, feasible } = plan(problem, share);
      assert.ok(feasible);
      decisions.forEach(({ activation }) => {
        const less = judge(
          problem,
          decisions.filter((one) => one.activation !== activation),
        );
        assert.ok(
          less.addedMs > addedMs + 1e-9 || less.peakBytes > share * baseline || less.arenaBytes() > share * baseline,
          `${share}: ${activation}`,
        );
      });
    }
});

test("mutwo keeps to constraints: no swap, no recomputation, host memory, time", () => {
  const with_ = (constraints: PlanProblem["constraints"], budget: number | null = Math.floor(0.7 * baseline)) =>
    planGraph({ ...fast, budgetBytes: budget, planner: "mutwo", ...(constraints ? { constraints } : {}) });
  assert.equal(swaps(with_({ swap: false })).length, 0);
  const only = with_({ recompute: false });
  assert.equal(swaps(only).length, only.decisions.length);
  const hostBytes = Math.floor((with_(undefined).hostBytes as number) / 2);
  const little = with_({ hostBytes });
  assert.ok((little.hostBytes as number) <= hostBytes && little.feasible);
  const maxAddedMs = with_(undefined).addedMs / 2;
  const quick = with_({ maxAddedMs }, null);
  assert.ok(quick.addedMs <= maxAddedMs && quick.peakBytes < baseline);
});

test("mutwo: the planned step computes the same bits, swaps and recomputations among its decisions", async () => {
  for (const variant of ["mended", "printed"] as const) {
    const problem = { ...fast, budgetBytes: Math.floor(0.6 * baseline), planner: "mutwo", variant };
    const { decisions } = planGraph(problem);
    assert.equal(new Set(decisions.map(({ action }) => action)).size, 2, variant);
    const expected = await outcome(runtime, resnet);
    const actual = await outcome(runtime, rewrite(resnet, decisions));
    for (const [name, bytes] of expected)
      assert.ok(Buffer.compare(actual.get(name) as Uint8Array, bytes) === 0, `${variant}: ${name}`);
  }
});

test("mutwo plans a recording of a GPU", () => {
  const { graph, before } = goldenRun("resnet-h100");
  const answer = planGraph({
    graph: loadGraph(graph),
    nodeMs: before.nodes.map(({ time }) => time.medianMs),
    rows: before.activations,
    budgetBytes: Math.floor(0.9 * before.arenaBytes),
    planner: "mutwo",
  });
  assert.equal(answer.variant, "mended");
  assert.ok(answer.feasible);
});
