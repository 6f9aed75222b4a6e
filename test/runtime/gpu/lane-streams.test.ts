import assert from "node:assert/strict";
import { test } from "node:test";
import { LaneStreams } from "../../../src/runtime/gpu/lane-streams.js";
import { Releases } from "../../../src/runtime/gpu/releases.js";
import { fakeGpu } from "./fake-gpu.js";

/** Streams 1, 11 and 21, events from 101 on. */
function opened() {
  const { gpu, lines, made, taken } = fakeGpu();
  const releases = new Releases();
  const streams = new LaneStreams(gpu.cuda, [1n, 11n, 21n], releases);
  const work = (lane: number, ...waits: number[]) => ({
    lane,
    waits,
    launch: () => void lines.push(`launch in ${lane}`),
  });
  return { streams, lines, made, taken, releases, work };
}

test("turnTo(lane) lets its stream wait for that of the lane before", () => {
  const { streams, taken } = opened();
  streams.turnTo(0);
  assert.deepEqual(taken(), []);
  streams.turnTo(2);
  streams.turnTo(2);
  streams.turnTo(0);
  assert.deepEqual(taken(), [
    "record 101 stream 1",
    "stream 21 waits for 101",
    "record 101 stream 21",
    "stream 1 waits for 101",
  ]);
});

test("sideBySide(work) forks the lanes from the first, lets them wait where they must, and joins them", () => {
  const { streams, taken, made, releases, work } = opened();
  streams.sideBySide([work(0), work(1), work(2, 1), work(1), work(0, 1, 2)]);
  assert.deepEqual(taken(), [
    "record 101 stream 1",
    "stream 11 waits for 101",
    "stream 21 waits for 101",
    "launch in 0",
    "launch in 1",
    "record 102 stream 11",
    "stream 21 waits for 102",
    "launch in 2",
    "record 103 stream 21",
    "launch in 1",
    "stream 1 waits for 102",
    "stream 1 waits for 103",
    "launch in 0",
    "record 101 stream 11",
    "stream 1 waits for 101",
    "record 101 stream 21",
    "stream 1 waits for 101",
  ]);
  releases.close();
  assert.equal(made.size, 0);
});

test("sideBySide(work) of one lane needs no event", () => {
  const { streams, taken, made, work } = opened();
  streams.sideBySide([work(0), work(0)]);
  assert.deepEqual(taken(), ["launch in 0", "launch in 0"]);
  assert.equal(made.size, 0);
});

test("sideBySide(work) comes after what was in turn before, in whichever lane", () => {
  const { streams, taken, work } = opened();
  streams.turnTo(1);
  taken();
  streams.sideBySide([work(0)]);
  assert.deepEqual(taken(), ["record 101 stream 11", "stream 1 waits for 101", "launch in 0"]);
  streams.turnTo(1);
  streams.reset();
  taken();
  streams.turnTo(0);
  assert.deepEqual(taken(), []);
});
