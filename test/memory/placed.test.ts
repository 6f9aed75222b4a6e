import assert from "node:assert/strict";
import { test } from "node:test";
import { randomFrom } from "../../src/graph/random.js";
import { type Lives, Placed } from "../../src/memory/placed.js";

const lives = (count: number): Lives => {
  const [start, end] = [new Int32Array(count), new Int32Array(count)];
  const [offset, top] = [new Float64Array(count), new Float64Array(count)];
  return { start, end, from: start, until: end, lane: undefined, offset, top };
};

/** The lowest place by going through all that is placed, in order, and how many were passed. */
function plainly({ start, end, offset, top }: Lives, order: readonly number[], one: number, size: number) {
  let cursor = 64;
  for (const [passed, other] of order.entries()) {
    if ((start[other] as number) > (end[one] as number) || (end[other] as number) < (start[one] as number)) continue;
    if ((offset[other] as number) - cursor >= size) return { cursor, passed };
    cursor = Math.max(cursor, top[other] as number);
  }
  return { cursor, passed: order.length };
}

for (const inChunk of [4, 16, 1000])
  test(`Placed.lowest finds the lowest place among all, in chunks of ${inChunk}: nested lives, short ones, none of no size`, () => {
    const count = 600;
    const random = randomFrom(inChunk);
    const all = lives(count);
    const placed = new Placed(all, inChunk);
    for (let round = 0; round < 2; round++) {
      let order: number[] = [];
      placed.clear();
      for (let one = 0; one < count; one++) {
        const isNested = one % 3 > 0;
        const start = isNested ? one >> 1 : Math.floor(random() * count);
        const size = 64 * Math.floor(random() * 4);
        all.start[one] = start;
        all.end[one] = isNested ? count - start : Math.min(count, start + Math.floor(random() * 9));
        const { cursor, passed } = plainly(all, order, one, size);
        const found = placed.lowest(one, size, 64);
        assert.deepEqual([found, placed.passed], [cursor, passed], `storage ${one}`);
        // some lie higher than they need to, as parts of flat buffers do
        all.offset[one] = cursor + (one % 5 ? 0 : 64 * Math.floor(random() * 100));
        all.top[one] = (all.offset[one] as number) + size;
        placed.insert(one);
        const index = order.findIndex((other) => (all.offset[other] as number) > (all.offset[one] as number));
        order = order.toSpliced(index < 0 ? order.length : index, 0, one);
      }
      assert.equal(placed.length, count);
      const seen: number[] = [];
      placed.forEach((one) => void seen.push(one));
      assert.deepEqual(seen, order);
    }
  });
