import assert from "node:assert/strict";
import { test } from "node:test";
import { randomFrom } from "../../src/graph/random.js";

const draw = (seed: number, count: number): number[] => {
  const random = randomFrom(seed);
  return Array.from({ length: count }, () => random());
};

test("randomFrom(seed) draws the same for the same seed, uniform in [0, 1)", () => {
  const many = draw(7, 20_000);
  assert.deepEqual(draw(7, 20_000), many);
  assert.notDeepEqual(draw(8, 20_000), many);
  assert.ok(many.every((x) => x >= 0 && x < 1));
  const mean = many.reduce((sum, x) => sum + x, 0) / many.length;
  assert.ok(Math.abs(mean - 0.5) < 0.01, `mean ${mean}`);
});
