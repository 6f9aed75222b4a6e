import assert from "node:assert/strict";
import { test } from "node:test";
import { inBlocks } from "../../src/memory/lane-blocks.js";
import { pack } from "../../src/memory/pack.js";
import type { Content, Life } from "../../src/memory/pack-content.js";

const life = (bytes: number, start: number, end: number, lane: number): Life => ({
  bytes,
  start,
  end,
  wide: { lane, from: 0, until: 9 },
});

test("inBlocks(content) packs each lane as if it were alone, the same ones once, and what several lanes use apart", () => {
  // lanes 0 and 1 are alike, though their nodes stand at other ranks
  const free = [
    life(640, 0, 2, 0),
    life(640, 1, 3, 1),
    life(640, 4, 6, 0),
    life(640, 5, 7, 1),
    life(64, 2, 3, -2),
    life(64, 5, 6, -3),
  ];
  const seen: Content[] = [];
  const { end, starts } = inBlocks({ free, flat: [], base: 128, count: 10 }, (content) => {
    seen.push(content);
    return pack(content);
  });
  assert.deepEqual(
    seen.map(({ free: own, count }) => [own.length, count]),
    [
      [2, 4],
      [2, 2],
    ],
  );
  assert.deepEqual([...starts], [128, 768, 128, 768, 1408, 1472]);
  assert.equal(end, 1536);
});

test("inBlocks(content) keeps a flat buffer in the block of its lane, where its parts are free until they are made", () => {
  const flatOf = (tensor: string, lane: number) => ({
    tensor,
    bytes: 128,
    parts: [
      { storage: life(64, 3, 9, lane), offsetBytes: 64 },
      { storage: life(64, 4, 9, lane), offsetBytes: 0 },
    ],
  });
  const free = [life(128, 0, 3, 0), life(128, 0, 3, 1)];
  const content = { free, flat: [flatOf("f", 0), flatOf("g", 1)], base: 0, count: 10 };
  const { end, starts, flatStarts } = inBlocks(content, pack);
  // below the later part of each buffer lie 64 bytes of what is over when it is made
  assert.deepEqual([end, [...starts], flatStarts], [384, [0, 192], [64, 256]]);
});
