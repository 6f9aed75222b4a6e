import assert from "node:assert/strict";
import { test } from "node:test";
import { gridHtml } from "../../src/report/grid-page.js";
import { decompressed } from "../../src/report/page-data.js";
import type { GridPoint } from "../../src/run/grid.js";

const point = (batch: number, budget: string | null, changed: Partial<GridPoint> = {}): GridPoint => ({
  id: `${batch}${budget}`,
  command: "mutwo profile 'my model.onnx' --dim batch=4",
  dims: { batch },
  budget,
  feasible: budget === null ? null : true,
  figures: { peakBytes: batch * 2 ** 20, stepMs: batch, plannedPeakBytes: 2 ** 20, predictedStepMs: 2 * batch },
  backend: "cpu",
  run: "runs/1",
  ...changed,
});

const points = [
  point(4, null),
  point(4, "60%"),
  point(8, "60%", { feasible: false }),
  point(16, "60%", { figures: {}, run: null, error: "out of <memory>" }),
];

test("gridHtml(points): bars by size with and without plans, what failed and what does not fit in words", () => {
  const html = gridHtml(points);
  const data = /<script type="text\/plain" id="data">([^<]*)</.exec(html)?.[1] ?? "";
  const { value } = JSON.parse(decompressed(data));
  const bars = (name: string) =>
    value.figures[name].data.map(({ name, x, y }: Record<string, unknown>) => [name, x, y]);
  assert.deepEqual(bars("sweepPeak"), [
    ["no plan", ["batch 4", "batch 8"], [4, 8]],
    ["planned for 60%", ["batch 4", "batch 8"], [1, null]],
  ]);
  assert.deepEqual(bars("sweepStep")[1][2], [8, null]);
  assert.equal(value.tables.points.count, 4);
  assert.match(html, /Sweep of &#x27;my model\.onnx&#x27;/);
  assert.match(html, /batch 16, planned for 60% failed: out of &lt;memory&gt;\./);
  assert.match(html, /Does not fit: batch 8, planned for 60%/);
  assert.match(html, /The peak without a plan: 4\.00 MiB to 8\.00 MiB; with one that fits: 1\.00 MiB to 1\.00 MiB\./);
});
