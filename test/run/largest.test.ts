import assert from "node:assert/strict";
import { test } from "node:test";
import { largest } from "../../src/run/largest.js";

test("largest(holds, first) finds the last that holds, from wherever it begins", () => {
  for (const last of [0, 1, 2, 7, 100])
    for (const first of [0, 1, 5, 64, 1000])
      for (const step of [undefined, 1, 3])
        assert.equal(
          largest((value) => value <= last, first, step),
          last,
          `${last} ${first} ${step}`,
        );
});

test("largest(holds, first, 1) asks little where the first guess is close, and not much where it is not", () => {
  const asked = (last: number, first: number, step?: number): number => {
    let count = 0;
    largest((value) => ++count > 0 && value <= last, first, step);
    return count;
  };
  assert.deepEqual([asked(1000, 1000, 1), asked(999, 1000, 1), asked(998, 1000, 1)], [2, 2, 4]);
  assert.ok(asked(999, 1000) > 8);
  assert.ok(asked(3, 10_000, 1) < 30);
});
