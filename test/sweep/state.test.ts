import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { openFolder, putFault, resultFile } from "../../src/sweep/result.js";
import { countsOf, readSweep, standingOf } from "../../src/sweep/state.js";
import { planned, sweepOf, unplanned, wanted } from "../sweep-of.js";

const sweep = sweepOf("state", [
  [wanted(2), unplanned(4, 1)],
  [wanted(2, "10%"), planned(3, 2, false)],
  [wanted(4), { error: "out of memory", figures: {} }],
  [wanted(4, "60%"), null],
  [wanted(8), unplanned(4, 1)],
]);

test("readSweep(place) tells what became of each point, from the folder alone", () => {
  assert.deepEqual(sweep.points.map(standingOf), ["done", "unfit", "failed", "left", "done"]);
  assert.deepEqual(countsOf(sweep), { done: 2, unfit: 1, failed: 1, damaged: 0, left: 1 });
});

test("readSweep(place): a damaged result is said of its point alone, faults of those that are left", () => {
  const { folder, points } = sweep.manifest;
  const temporary = openFolder(folder);
  putFault(folder, { id: points[3]!.id, error: "its process was ended by SIGKILL", host: "here" }, temporary);
  rmSync(temporary, { recursive: true });
  writeFileSync(resultFile(folder, points[4]!.id), '{"format"');
  // what is no point's is nobody's
  writeFileSync(path.join(folder, "results", "0123456789abcdef.json"), "{");
  const read = readSweep(folder);
  assert.deepEqual(countsOf(read), { done: 1, unfit: 1, failed: 1, damaged: 1, left: 1 });
  assert.match(read.points[4]?.damage ?? "", /^sweep's result is damaged: /);
  assert.deepEqual(
    read.points[3]?.faults.map(({ error }) => error),
    ["its process was ended by SIGKILL"],
  );
});
