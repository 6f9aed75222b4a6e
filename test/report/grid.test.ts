import assert from "node:assert/strict";
import { test } from "node:test";
import Papa from "papaparse";
import { gridCsv, gridTable } from "../../src/report/grid.js";
import type { GridPoint } from "../../src/run/grid.js";

const point = (changed: Partial<GridPoint>): GridPoint => ({
  id: "a",
  command: "mutwo profile m.onnx",
  dims: { batch: 4 },
  budget: null,
  feasible: null,
  figures: { peakBytes: 2 ** 20, stepMs: 5, plannedPeakBytes: null },
  backend: "cpu",
  run: "runs/1",
  ...changed,
});

const points = [
  point({}),
  point({ budget: "60%", feasible: false, figures: { peakBytes: 2 ** 20, plannedPeakBytes: 2 ** 19, stepMs: 5 } }),
  point({ dims: { batch: 8, length: 3 }, figures: {}, run: null, error: 'out, of "memory"' }),
];

test("gridTable(points): sizes, budget, peak and step, and what does not fit or failed", () => {
  const { title, head, rows } = gridTable(points);
  assert.equal(title, "3 points, 1 failed");
  assert.deepEqual(head.slice(0, 3), ["batch", "length", "budget"]);
  assert.deepEqual(rows, [
    ["4", "", "none", "1.00 MiB", "–", "5.00 ms", "–", "–", ""],
    ["4", "", "60%", "1.00 MiB", "512 KiB", "5.00 ms", "–", "–", "does not fit"],
    ["8", "3", "none", "–", "–", "–", "–", "–", 'out, of "memory"'],
  ]);
});

test("gridCsv(points): a row a point, whatever its error holds", () => {
  const { data, meta } = Papa.parse<Record<string, string>>(gridCsv(points), { header: true, skipEmptyLines: true });
  assert.deepEqual(meta.fields?.slice(0, 5), ["dim_batch", "dim_length", "budget", "feasible", "stepMs"]);
  assert.deepEqual(
    data.map((row) => [row.dim_batch, row.budget, row.feasible, row.peakBytes, row.error]),
    [
      ["4", "", "", "1048576", ""],
      ["4", "60%", "false", "1048576", ""],
      ["8", "", "", "", 'out, of "memory"'],
    ],
  );
});
