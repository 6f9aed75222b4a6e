import assert from "node:assert/strict";
import { test } from "node:test";
import { Packing } from "../../src/memory/packing.js";
import { skyline } from "../../src/memory/skyline.js";

test("skyline(packing, weight) fills the lowest valley with the heaviest that lives within it", () => {
  const packing = new Packing({
    free: [
      { bytes: 64, start: 0, end: 3 },
      { bytes: 128, start: 0, end: 1 },
      { bytes: 128, start: 2, end: 3 },
      { bytes: 64, start: 2, end: 2 },
    ],
    fixed: [{ storage: { start: 0, end: 1 }, offset: 0, end: 64 }],
    base: 0,
    count: 4,
  });
  // ranks 2 and 3 are the lowest: storage 2, of more bytes than 3; then 1 on what has its place, 3 and 0 above
  const order = skyline(packing, (one) => packing.size[one] as number, Int32Array.of(0, 1, 2, 3));
  assert.deepEqual([...order], [2, 1, 3, 0]);
  assert.equal(packing.place(order), 256);
});
