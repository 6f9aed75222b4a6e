import assert from "node:assert/strict";
import { test } from "node:test";
import { Front } from "../../src/plan/front.js";

const point = (peakBytes: number, totalMs: number) => ({
  peakBytes,
  totalMs,
  hostBytes: 0,
  liveBytes: new Float64Array(),
  nodeCount: 1,
});

test("Front keeps the points that no other one is as good as in both, by peak", () => {
  const front = new Front();
  const taken = [
    [10, 1],
    [4, 9],
    [6, 5],
    [6, 6], // slower at the same peak
    [7, 5], // higher at the same time
    [6, 4], // better than [6, 5]
    [5, 3], // better than [6, 4]
  ].map(([peak, ms]) => front.add(new Uint8Array([peak as number]), point(peak as number, ms as number)));
  assert.deepEqual(taken, [true, true, true, false, false, true, true]);
  assert.deepEqual(
    front.points.map(({ peakBytes, totalMs }) => [peakBytes, totalMs]),
    [
      [4, 9],
      [5, 3],
      [10, 1],
    ],
  );
});

test("Front.within(goal) is the fastest point below it, or the lowest there is", () => {
  const front = new Front();
  for (const [peak, ms] of [
    [10, 1],
    [4, 9],
    [6, 5],
  ] as const)
    front.add(new Uint8Array(), point(peak, ms));
  assert.deepEqual(
    [12, 10, 9, 6, 4, 3].map((goal) => front.within(goal).peakBytes),
    [10, 10, 6, 6, 4, 4],
  );
});
