import assert from "node:assert/strict";
import { test } from "node:test";
import type { Figure } from "../../src/report/figure.js";
import { tradeoff } from "../../src/report/tradeoff.js";
import { goldenRun } from "../golden-run.js";

const golden = goldenRun("mlp-cpu");

/** A step of 10 ms. */
const run = { ...golden, before: { ...golden.before, step: { ...golden.before.step, medianMs: 10 } } };

interface Trace {
  readonly y: readonly number[];
  readonly visible?: string;
}

const traces = (figure: Figure | null): readonly Trace[] => (figure as Figure).data as readonly Trace[];

test("tradeoff(run) has a line a planner, shows what lies beyond the lines only in the legend, and marks the knee", () => {
  assert.equal(tradeoff(run), null);
  const point = (planner: string, budgetBytes: number | null, peakBytes: number, addedMs: number) => {
    return { planner, budgetBytes, peakBytes, addedMs, hostBytes: 0, copiesSimulated: false };
  };
  const lines = [point("best", 9, 9, 0), point("best", 5, 5, 1), point("best", 3, 2, 9)];
  const chart = tradeoff({ ...run, tradeoff: [...lines, point("recomputeAll", null, 4, 50)] });
  const stepMs = run.before.step.medianMs;
  assert.deepEqual(
    traces(chart).map(({ y }) => y),
    [[stepMs + 9, stepMs + 1, stepMs], [stepMs + 50]],
  );
  assert.deepEqual(
    traces(chart).map(({ visible }) => visible),
    [undefined, "legendonly"],
  );
  const [bound] = traces(tradeoff({ ...run, tradeoff: lines.map((one) => ({ ...one, boundMs: 0.5 })) })).slice(-1);
  assert.deepEqual(bound?.y, [stepMs + 0.5, stepMs + 0.5, stepMs + 0.5]);
  assert.match(JSON.stringify(chart?.layout.annotations), /knee: 5 B/);
});
