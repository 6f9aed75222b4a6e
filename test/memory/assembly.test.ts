import assert from "node:assert/strict";
import { test } from "node:test";
import { Assembly } from "../../src/memory/assembly.js";
import { pack } from "../../src/memory/pack.js";
import type { Content } from "../../src/memory/pack-content.js";

test("Assembly.put(block) packs a block by itself, the same one once, in a schedule of its own ranks", () => {
  const life = (bytes: number, start: number, end: number) => ({ bytes, start, end });
  const part = (start: number, end: number) => [{ storage: life(64, start, end), offsetBytes: 0 }];
  const content: Content = {
    free: [life(128, 0, 2), life(640, 3, 7), life(128, 10, 12)],
    flat: [
      { tensor: "f", bytes: 64, parts: part(1, 2) },
      { tensor: "g", bytes: 64, parts: part(11, 12) },
    ],
    base: 0,
    count: 20,
  };
  const seen: Content[] = [];
  const assembly = new Assembly(content, (block) => {
    seen.push(block);
    return pack(block);
  });
  const ends = [
    assembly.put({ free: [0], flat: [0] }, 1000),
    assembly.put({ free: [2], flat: [1] }, 2000),
    assembly.put({ free: [1], flat: [] }, 3000),
  ];
  assert.deepEqual(ends, [1192, 2192, 3640]);
  assert.deepEqual(
    seen.map(({ free, flat, base, count }) => [free.length, flat.length, base, count]),
    [
      [1, 1, 0, 3],
      [1, 0, 0, 2],
    ],
  );
  const { end, starts, flatStarts } = assembly.arena(4000);
  assert.deepEqual([end, [...starts], flatStarts], [4000, [1000, 3000, 2000], [1128, 2128]]);
});
