import assert from "node:assert/strict";
import { test } from "node:test";
import * as charts from "../../src/report/charts.js";
import type { Figure } from "../../src/report/figure.js";
import { goldenRun } from "../golden-run.js";

const run = goldenRun("mlp-cpu");

const gpt2 = goldenRun("gpt2-h100");

interface Trace {
  readonly name: string;
  readonly x: readonly number[];
  readonly y: readonly (number | undefined)[];
  readonly text: readonly string[];
  readonly marker: { readonly color: readonly string[] };
}

const traces = (figure: Figure): readonly Trace[] => figure.data as readonly Trace[];

test("memoryTimeline(run) stacks up to the peak, in MiB, and draws the budget where there is one", () => {
  const { peakRank, peakBytes } = run.before.timeline;
  const stacked = traces(charts.memoryTimeline(run)).reduce((sum, { y }) => sum + (y[peakRank] ?? 0), 0);
  assert.ok(Math.abs(stacked - peakBytes / 2 ** 20) < 1e-9, `${stacked}`);
  const resnet = goldenRun("resnet-h100");
  const named = (figure: Figure): number => JSON.stringify(figure.layout.annotations).split("budget ").length - 1;
  assert.deepEqual([named(charts.memoryTimeline(run)), named(charts.memoryTimeline(resnet))], [0, 1]);
});

test("plannedTimeline(run) is null where no plan was executed", () => {
  assert.equal(charts.plannedTimeline({ ...run, after: null }), null);
  assert.match(charts.plannedTimeline(run)?.layout.title.text ?? "", /^Memory of the planned step: peak /);
});

test("nodeRunTime(run) leaves out what takes no time; each node of a phase is one point", () => {
  const [first, ...others] = run.before.nodes;
  assert.ok(first);
  const still = { ...first, time: { ...first.time, medianMs: 0 } };
  const points = traces(charts.nodeRunTime({ ...run, before: { ...run.before, nodes: [still, ...others] } }));
  assert.ok(Number.isNaN(points[0]?.y[0]));
  assert.equal(
    points.reduce((sum, { y }) => sum + y.length, 0),
    run.before.nodes.length,
  );
});

test("timeByOp(run) sums the nodes' times", () => {
  const [bars] = traces(charts.timeByOp(gpt2));
  const total = gpt2.before.nodes.reduce((sum, { time }) => sum + time.medianMs, 0);
  const shown = bars?.x.reduce((sum, ms) => sum + ms, 0) ?? 0;
  assert.ok(Math.abs(shown - total) < 1e-9 * total, `${shown} of ${total} ms`);
});

test("activationSize(run) gives what the plan swaps another colour than what it keeps", () => {
  const [bars] = traces(charts.activationSize(gpt2));
  const swapped = new Set(gpt2.plan?.decisions.map(({ activation }) => activation));
  assert.ok(swapped.size > 0);
  for (const [i, name] of (bars?.text ?? []).entries())
    assert.equal(bars?.marker.color[i], swapped.has(name) ? "#009E73" : "#0072B2", name);
});

test("predictedMeasured(run) has a bar of the planned step only where that was executed", () => {
  assert.deepEqual(
    traces(charts.predictedMeasured(run)).map(({ y }) => y.length),
    [2, 2, 2, 2],
  );
  const alone = { ...run, plan: null, after: null, paired: null };
  assert.deepEqual(
    traces(charts.predictedMeasured(alone)).map(({ y }) => y.length),
    [1, 1, 1, 1],
  );
});
