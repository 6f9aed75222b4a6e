import assert from "node:assert/strict";
import { test } from "node:test";
import { peakInterval } from "../../src/memory/peak-interval.js";

test("peakInterval(live, limit) is the run around the peak; none within the limit", () => {
  const live = [1, 5, 2, 4, 6, 5, 3, 5];
  assert.deepEqual(peakInterval(live, 3), { first: 3, last: 5 });
  assert.deepEqual(peakInterval(live, 0), { first: 0, last: 7 });
  assert.equal(peakInterval(live, 6), undefined);
  assert.equal(peakInterval([], 0), undefined);
});
