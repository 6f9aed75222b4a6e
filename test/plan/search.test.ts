import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Search } from "../../src/plan/search.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { resnetProblem } from "../problem.js";

const runtime = openCpu();
after(() => runtime.close());
const problem = resnetProblem(runtime);
const how = { moves: 1500, seed: 1, timeLimitMs: 60_000 };

test("Search.run() gives the same front for the same seed and number of moves, another for another seed", () => {
  const peaks = (seed: number): [number, number][] =>
    new Search(problem, { ...how, seed }).run().points.map(({ peakBytes, totalMs }) => [peakBytes, totalMs]);
  const first = peaks(1);
  assert.deepEqual(peaks(1), first);
  assert.notDeepEqual(peaks(2), first);
});

test("Search.run() finds what more moves find, or less", () => {
  const cheapest = (moves: number): number => {
    const { points } = new Search(problem, { ...how, moves }).run();
    const goal = 0.8 * (points.at(-1)?.peakBytes as number);
    return points.findLast(({ peakBytes }) => peakBytes <= goal)?.totalMs ?? Number.POSITIVE_INFINITY;
  };
  assert.ok(cheapest(4000) <= 1.02 * cheapest(400));
});

test("Search.run() ends by its time where it may try any number of vectors", { timeout: 60_000 }, () => {
  const { points } = new Search(problem, { ...how, moves: 1e9, timeLimitMs: 300 }).run();
  assert.ok(points.length > 1);
});
