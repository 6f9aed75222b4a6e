import assert from "node:assert/strict";
import { test } from "node:test";
import { alternatives, draws } from "../../src/sweep/draw.js";

const setting = { name: "seed", where: "grid.seed", parse: (raw: unknown) => raw };

test("alternatives(raw, setting): a list as it is, a range in steps, anything else alone", () => {
  assert.deepEqual(alternatives([1, null], setting), [1, null]);
  assert.deepEqual(alternatives("60%", setting), ["60%"]);
  assert.deepEqual(alternatives({ from: 1, to: 2, step: 0.25 }, setting), [1, 1.25, 1.5, 1.75, 2]);
  assert.deepEqual(alternatives({ from: "50%", to: "50.3%", step: "0.1%" }, setting), [
    "50%",
    "50.1%",
    "50.2%",
    "50.3%",
  ]);
  assert.deepEqual(alternatives({ from: "1GiB", to: "4GiB", step: 2 }, setting), ["1GiB", "3GiB"]);
  assert.throws(() => alternatives([], setting), /^Error: grid\.seed is an empty list/);
  assert.throws(() => alternatives({ from: 0, to: 1, step: 0 }, setting), /step is 0, not above 0/);
  assert.throws(() => alternatives({ from: "1GiB", to: "4MiB", step: 1 }, setting), /not a range/);
});

test("draws(part, folder, seed): every number of a range about as often, each doubling where the scale is log", () => {
  const draw = draws(
    { seed: { from: 0, to: 3 }, dims: { batch: { from: 1, to: 7, scale: "log" } }, timeLimit: { from: 0.5, to: 1.5 } },
    ".",
    1,
  );
  const points = Array.from({ length: 4000 }, draw);
  for (const seed of [0, 1, 2, 3]) {
    const count = points.filter((point) => point.seed === seed).length;
    assert.ok(Math.abs(count - 1000) < 120, `${seed}: ${count}`);
  }
  // log2(2), log2(4/2), log2(8/4): a third each
  for (const [from, to] of [
    [1, 2],
    [2, 4],
    [4, 8],
  ] as const) {
    const count = points.filter(
      (point) => (point["dims.batch"] as number) >= from && (point["dims.batch"] as number) < to,
    ).length;
    assert.ok(Math.abs(count - 4000 / 3) < 140, `${from}: ${count}`);
  }
  const limits = points.map((point) => point.timeLimit as number);
  assert.ok(Math.min(...limits) >= 0.5 && Math.max(...limits) <= 1.5 && new Set(limits).size > 3900);
});

test("draws(part, folder, seed): one line for ends that are no values", () => {
  assert.throws(
    () => draws({ dims: { batch: { from: 0, to: 4 } } }, ".", 1),
    /^Error: random\.dims\.batch is 0, not a whole/,
  );
  assert.throws(
    () => draws({ dims: { batch: { from: 0, to: 4, scale: "log" } } }, ".", 1),
    /not above 0 for scale log/,
  );
  assert.throws(
    () => draws({ budget: { from: "10%", to: "90%", scale: "lin" } }, ".", 1),
    /scale is "lin", not one of/,
  );
});
