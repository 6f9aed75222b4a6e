import assert from "node:assert/strict";
import { test } from "node:test";
import { type Wide, worstPeak } from "../../src/memory/worst-peak.js";

const life = (bytes: number, start: number, end: number, wide?: Wide) => ({ bytes, start, end, wide });

const stage = (first: number, last: number, ...lanes: number[]) => ({ first, last, lanes: new Set(lanes) });

test("worstPeak(lives) without lanes is the most that lives at a rank", () => {
  const lives = [life(10, 0, 1), life(20, 1, 2), life(5, 3, 3)];
  assert.equal(worstPeak(lives, [stage(0, 3, 0)], 4), 30);
  assert.equal(worstPeak([], [stage(0, 3, 0)], 4), 0);
});

test("worstPeak(lives) of lanes side by side is the sum of their peaks, stage by stage", () => {
  const wide = (lane: number, from: number, until: number): Wide => ({ lane, from, until });
  // lane 1 has 30 bytes at rank 0, lane 2 has 7 at rank 2: not at the same rank, but perhaps at the same time
  const lives = [
    life(30, 0, 0, wide(1, 0, 3)),
    life(4, 1, 3, wide(1, 0, 3)),
    life(7, 2, 3, wide(2, 0, 3)),
    life(100, 2, 2, wide(-2, 0, 3)),
    life(50, 4, 4, wide(1, 4, 4)),
  ];
  assert.equal(worstPeak(lives, [stage(0, 3, 1, 2), stage(4, 4, 1)], 5), 137);
});
