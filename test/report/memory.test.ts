import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryData, memoryView } from "../../src/report/memory.js";
import { goldenRun } from "../golden-run.js";

const run = goldenRun("gpt2-h100");

test("memoryData(run) has both steps with a plan, whose copies take no time of the nodes", () => {
  const { steps, budget } = memoryData(run);
  assert.equal(budget, null);
  assert.deepEqual(
    steps.map(({ title }) => title),
    ["unplanned", "planned by swapAll"],
  );
  for (const step of steps)
    for (const values of Object.values(step.byCategory)) assert.equal(values.length, step.name.length);
  const planned = steps[1];
  assert.ok(planned);
  const copies = planned.op.flatMap((op, rank) => (/^mutwo\.Swap/.test(op) ? [planned.ms[rank]] : []));
  assert.ok(copies.length > 0 && copies.every((ms) => ms === 0));
  assert.equal(memoryData({ ...run, plan: null, after: null }).steps.length, 1);
});

test("memoryData(run) plans to the peaks that the run says", () => {
  const peaks = memoryData(run).steps.map(({ total }) => Math.max(...total));
  assert.deepEqual(peaks, [run.before.timeline.peakBytes, run.plan?.timelinePeakBytes]);
});

test("memoryView(run) names the node at the peak and shares that add up", () => {
  const { peakNode, peaks } = memoryView(run);
  assert.equal(peakNode?.name, run.before.nodes[run.before.timeline.peakRank]?.name);
  assert.deepEqual(
    peaks.map(({ what }) => what),
    ["unplanned", "planned"],
  );
  for (const { categories, holders, moreHolders, tiles } of peaks) {
    const shares = categories.reduce((sum, { share }) => sum + Number.parseFloat(share), 0);
    assert.ok(Math.abs(shares - 100) < 0.5, `${shares}`);
    assert.equal(holders.length + moreHolders, tiles.length);
    assert.ok(
      holders.some(({ name, within }) => within === "parameters" && name.startsWith("m.")),
      "flat buffers are divided",
    );
  }
  assert.equal(memoryView({ ...run, plan: null, after: null }).peaks.length, 1);
});
