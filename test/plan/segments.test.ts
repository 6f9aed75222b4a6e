import assert from "node:assert/strict";
import { test } from "node:test";
import type { Option } from "../../src/plan/allowed.js";
import { alone, held, keep } from "../../src/plan/schedule.js";
import { segmentVectors } from "../../src/plan/segments.js";

/** Ten activations of a byte each; the fourth cannot be made again. */
const options = Array.from(
  { length: 10 },
  (_, index) =>
    ({ index, actions: index === 3 ? [keep] : [keep, alone, held], accesses: { bytes: 1 } }) as unknown as Option,
);

test("segmentVectors(options, length, action): what ends a segment is kept, and what cannot be made again", () => {
  const vectors = segmentVectors(options, 10, held);
  const kept = (vector: Uint8Array | undefined): number[] =>
    [...(vector ?? [])].flatMap((action, index) => (action === keep ? [index] : []));
  assert.deepEqual(kept(vectors[0]), [3, 9]);
  assert.deepEqual(kept(vectors[1]), [3, 4, 9]);
  assert.deepEqual(kept(vectors[4]), [1, 3, 5, 7, 9]);
  assert.deepEqual(kept(vectors.at(-1)), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});
