import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { test } from "node:test";
import Papa from "papaparse";
import {
  bestText,
  failuresOf,
  sayCounts,
  sayFailure,
  sweepColumns,
  sweepCsv,
  sweepTable,
  sweepText,
} from "../../src/report/sweep-table.js";
import { openFolder, putFault } from "../../src/sweep/result.js";
import { readSweep } from "../../src/sweep/state.js";
import { planned, sweepOf, unplanned, wanted } from "../sweep-of.js";

const first = sweepOf("table", [
  [wanted(4), unplanned(1, 5)],
  [wanted(4, "60%"), planned(0.5, 6, false)],
  [wanted(8), { error: 'out, of "memory"', figures: {}, backend: null, run: null }],
  [wanted(16), { error: 'out, of "memory"', figures: {}, backend: null, run: null }],
  [wanted(32), null],
  [wanted(64), null],
]);

const temporary = openFolder(first.manifest.folder);
putFault(first.manifest.folder, { id: first.points[4]!.point.id, error: "killed", host: "there" }, temporary);
rmSync(temporary, { recursive: true });

const sweep = readSweep(first.manifest.folder);

test("sweepText(sweep): what points differ in, peak and step, what does not fit, failed or is to be tried again", () => {
  const { title, head, rows } = sweepText(sweep);
  assert.equal(title, "6 points: 1 done, 1 do not fit, 2 failed, 2 left");
  assert.equal(title, sayCounts(sweep));
  assert.deepEqual(head.slice(0, 3), ["batch", "budget", "planner"]);
  assert.deepEqual(rows, [
    ["4", "–", "–", "1.00 MiB", "–", "5.00 ms", "–", "–", ""],
    ["4", "60%", "mutwo", "8.00 MiB", "512 KiB", "1.00 ms", "6.00 ms", "–", "does not fit"],
    ["8", "–", "–", "–", "–", "–", "–", "–", 'failed: out, of "memory"'],
    ["16", "–", "–", "–", "–", "–", "–", "–", 'failed: out, of "memory"'],
    ["32", "–", "–", "–", "–", "–", "–", "–", "left: killed"],
    ["64", "–", "–", "–", "–", "–", "–", "–", "left"],
  ]);
});

test("failuresOf(sweep): a reason each with the first point, the commonest first", () => {
  assert.deepEqual(failuresOf(sweep).map(sayFailure), [
    '2 points failed: out, of "memory" (first: point 2, batch 8)',
    "1 point to be tried again (a first attempt failed): killed (point 4, batch 32)",
  ]);
});

test("bestText(sweep, most): memory and time of the best, so many of them, the ends among them", () => {
  const many = sweepOf(
    "best-table",
    [1, 2, 4, 8, 16].map((batch) => [wanted(batch), unplanned(batch, batch / batch ** 0.5)]),
  );
  const { title, rows } = bestText(many, 3);
  assert.match(title, /\(3 of 5\)$/);
  assert.deepEqual(rows, [
    ["1", "1.00 MiB", "1.00 ms", "1.00 ms"],
    ["4", "4.00 MiB", "2.00 ms", "500 µs"],
    ["16", "16.0 MiB", "4.00 ms", "250 µs"],
  ]);
  assert.doesNotMatch(bestText(many, 5).title, /\(/);
});

test("sweepCsv(sweep): a row a point with its command, whatever its error holds", () => {
  const { data, meta } = Papa.parse<Record<string, string>>(sweepCsv(sweep), { header: true, skipEmptyLines: true });
  assert.deepEqual(meta.fields, [...sweepColumns(sweep).map(({ name }) => name), "run", "command", "id"]);
  assert.equal(new Set(meta.fields).size, meta.fields?.length);
  assert.deepEqual(
    data.map((row) => [row.point, row.dim_batch, row.budget, row.result, row.peakBytes, row.reason]),
    [
      ["0", "4", "", "done", "1048576", ""],
      ["1", "4", "60%", "does not fit", "8388608", ""],
      ["2", "8", "", "failed", "", 'out, of "memory"'],
      ["3", "16", "", "failed", "", 'out, of "memory"'],
      ["4", "32", "", "left", "", "killed"],
      ["5", "64", "", "left", "", ""],
    ],
  );
  assert.match(data[1]?.command ?? "", /^mutwo profile .*dynamic\.onnx --loss ce .*--dim batch=4 .*--budget 60%/);
});

test("sweepTable(sweep): a DataFrame, a row a point", () => {
  const frame = sweepTable(sweep);
  assert.deepEqual(frame.shape, [6, sweepColumns(sweep).length]);
  assert.deepEqual(
    frame.columns,
    sweepColumns(sweep).map(({ name }) => name),
  );
});
