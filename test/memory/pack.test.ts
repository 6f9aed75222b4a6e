import assert from "node:assert/strict";
import { test } from "node:test";
import { randomFrom } from "../../src/graph/random.js";
import { pack } from "../../src/memory/pack.js";

/** Storages that tile a rectangle of so many bytes and ranks: it is cut in two again and again. */
function tiles(seed: number, bytes: number, count: number): { bytes: number; start: number; end: number }[] {
  const random = randomFrom(seed);
  const cut = (size: number, start: number, end: number, depth: number): ReturnType<typeof tiles> => {
    const lines = size / 64;
    if (depth === 0 || (lines < 2 && start === end)) return [{ bytes: size, start, end }];
    if (start === end || (lines > 1 && random() < 0.5)) {
      const lower = 64 * (1 + Math.floor(random() * (lines - 1)));
      return [...cut(lower, start, end, depth - 1), ...cut(size - lower, start, end, depth - 1)];
    }
    const middle = start + Math.floor(random() * (end - start));
    return [...cut(size, start, middle, depth - 1), ...cut(size, middle + 1, end, depth - 1)];
  };
  return cut(bytes, 0, count - 1, 5);
}

/** Pairs that share bytes while both live. */
const clashes = (all: readonly { bytes: number; start: number; end: number }[], starts: Float64Array): number =>
  all.flatMap((a, i) =>
    all.slice(i + 1).filter((z, k) => {
      const [low, high] = [starts[i] as number, starts[i + 1 + k] as number];
      return a.start <= z.end && z.start <= a.end && low < high + z.bytes && high < low + a.bytes;
    }),
  ).length;

test("pack(content) packs what tiles an arena without overlaps, nearly without a gap", () => {
  let waste = 0;
  for (let seed = 0; seed < 20; seed++) {
    const free = tiles(seed, 64 * 1000, 60);
    const { end, starts } = pack({ free, flat: [], base: 128, count: 60 });
    assert.equal(clashes(free, starts), 0, `seed ${seed}`);
    assert.ok(Math.min(...starts) >= 128);
    assert.ok(end >= 128 + 64 * 1000);
    waste += (end - 128) / 64_000 - 1;
  }
  assert.ok(waste / 20 <= 0.05, `${waste / 20} on average`);
});

test("pack(content) ends the arena with a flat buffer that fills from its end", () => {
  const part = (start: number, offsetBytes: number) => ({
    storage: { name: "g", bytes: 64, start, end: 3, tenants: [], resident: false },
    offsetBytes,
  });
  // before rank 2 the lower half of the buffer is free, and lies beside the 64 bytes below it
  const flat = [{ tensor: "flat", bytes: 128, parts: [part(1, 64), part(2, 0)] }];
  const free = [{ bytes: 128, start: 0, end: 1 }];
  assert.deepEqual(pack({ free, flat, base: 64, count: 4 }), {
    end: 256,
    starts: Float64Array.of(64),
    flatStarts: [128],
  });
});
