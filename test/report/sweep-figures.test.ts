import assert from "node:assert/strict";
import { test } from "node:test";
import { sweepFront, sweepPeak, sweepTime } from "../../src/report/sweep-figures.js";
import { planned, sweepOf, unplanned, wanted } from "../sweep-of.js";

const sweep = sweepOf("figures", [
  [wanted(2), unplanned(4, 1)],
  [wanted(2, "60%"), planned(2, 1.5)],
  [wanted(8), unplanned(16, 2)],
  [wanted(8, "60%"), planned(9, 3)],
  [wanted(16), null],
]);

interface Trace {
  readonly name: string;
  readonly x: readonly unknown[];
  readonly y: readonly unknown[];
  readonly mode: string;
}

const traces = (figure: ReturnType<typeof sweepFront>) =>
  ((figure?.data ?? []) as readonly Trace[]).map(({ name, x, y, mode }) => [name, mode, x, y]);

test("sweepFront(sweep): time of a sample against memory, a colour a batch, a line through the best", () => {
  const figure = sweepFront(sweep);
  assert.equal(figure?.layout.title.text, "Time against memory");
  assert.deepEqual(traces(figure), [
    ["batch 2", "markers", [4, 2], [0.5, 0.75]],
    ["batch 8", "markers", [16, 9], [0.25, 0.375]],
    ["the best", "lines", [2, 4, 9, 16], [0.75, 0.5, 0.375, 0.25]],
  ]);
});

test("sweepPeak, sweepTime: over the batch, a line for each budget", () => {
  assert.deepEqual(traces(sweepPeak(sweep)), [
    ["budget 60%", "lines+markers", [2, 8], [2, 9]],
    ["budget none", "lines+markers", [2, 8], [4, 16]],
  ]);
  const figure = sweepTime(sweep);
  assert.equal(figure?.layout.title.text, "Time of a step over batch, the least whatever else");
  assert.deepEqual(traces(figure)[1], ["budget none", "lines+markers", [2, 8], [1, 2]]);
});

test("the charts of a sweep: none where nothing is known, or where points differ in nothing", () => {
  const none = sweepOf("none", [[wanted(2), null]]);
  assert.deepEqual([sweepFront(none), sweepPeak(none), sweepTime(none)], [null, null, null]);
  const one = sweepOf("one", [[wanted(2), unplanned(4, 1)]]);
  assert.deepEqual([traces(sweepFront(one)).length, sweepPeak(one)], [2, null]);
});
