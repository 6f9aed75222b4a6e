import assert from "node:assert/strict";
import { test } from "node:test";
import { excess, Half } from "../../../src/plan/multiplex/half.js";
import { featureMap, subArrayOf } from "../../sub-arrays.js";

/** Two forward and two backward nodes of 5 bytes, of which `static` are the weights; a map of 3 bytes in between. */
const one = subArrayOf(["A", "B"], ["dB", "dA"], () => 5, [featureMap("A", 3, [0, 3])], 1);
const two = subArrayOf(["C", "D"], ["dD", "dC"], () => 7, [featureMap("C", 2, [0, 3])], 1);

test("Half: forward nodes stand after all backward ones, but for those that are placed before one", () => {
  const half = new Half(one, two, new Map());
  const text = () =>
    half
      .order()
      .map(({ isForward, rank }) => (isForward ? two : one).nodes[rank]?.name)
      .join(" ");
  assert.equal(text(), "dB dA C D");
  half.placed.set(3, 1);
  assert.equal(text(), "dB C dA D");
  assert.deepEqual([half.placedCount, half.firstBefore(3), half.firstBefore(4)], [1, 0, 1]);
  assert.deepEqual(half.leadOf({ rank: 3, lead: 1 }), [0]);
});

test("Half.bytes is Algorithm G: active bytes of both sides with what is static once, and what waits", () => {
  const half = new Half(one, two, new Map());
  // A waits until dA reads it; C waits once its last forward use is over
  assert.deepEqual([...half.bytes(new Map())], [5 + 3, 5, 5 + 7 - 1, 5 + 7 - 1 + 2]);
  // A is made again right before dA: that nets to nothing
  assert.deepEqual([...half.bytes(new Map([["A", { prompt: null }]]))], [5, 5, 11, 13]);
  // or comes back while dB runs
  assert.deepEqual([...half.bytes(new Map([["A", { prompt: { rank: 2, lead: 0 } }]]))], [8, 5, 11, 13]);
  // what leaves the forward side does not wait there
  const away = new Half(one, two, new Map([["C", { prompt: null }]]));
  assert.deepEqual([...away.bytes(new Map())], [8, 5, 11, 11]);
  // it comes back before the forward node that was placed before its use
  half.placed.set(3, 1);
  assert.deepEqual(
    [...half.bytes(new Map([["A", { prompt: { rank: 3, lead: 1 } }]]))],
    [5, 5 + 7 - 1 + 3, 5 + 7 - 1 + 2, 13],
  );
});

test("excess sums what is over a limit", () => {
  assert.equal(excess(Float64Array.of(1, 5, 7), 4), 4);
});
