import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { openCpu } from "../../src/runtime/cpu.js";
import {
  besideRows,
  coefficient,
  isUsed,
  listed,
  mapped,
  settingOf,
  sumsOfModels,
} from "../../src/step/coefficients.js";
import { graphOf, loaded } from "../sampled.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

test("settingOf(values) is one number where all are equal; mapped, isUsed and listed take either", () => {
  assert.equal(settingOf([2, 2]), 2);
  assert.deepEqual(settingOf([2, 3]), [2, 3]);
  const minus = (a: number, z: number): number => a - z;
  assert.equal(mapped(3, 1, minus), 2);
  assert.deepEqual(mapped([3, 4], 1, minus), [2, 3]);
  assert.deepEqual(mapped(1, [3, 4], minus), [-2, -3]);
  assert.deepEqual([0, [0, 0], [0, 1], 1].map(isUsed), [false, false, true, true]);
  assert.deepEqual(
    [listed(3, 2), listed([1, 2], 2)],
    [
      [3, 3],
      [1, 2],
    ],
  );
});

test("besideRows, coefficient and sumsOfModels(…) go from models to rows of a flat buffer and back", async () => {
  const b = new Builder();
  const rows = { models: 2, of: [0, 1, 0, 0, 1, 1], isGuarded: false };
  b.declare({ name: "flat", dtype: "float32", shape: [6, 2], category: "input" });
  b.declare({ name: "vector", dtype: "float32", shape: [2], category: "input" });
  const constant = coefficient(b, rows, "float32", [5, 7]);
  assert.equal(coefficient(b, rows, "float32", 5), 5);
  const made = [
    besideRows(b, rows, "vector"),
    b.op("Mul", ["flat", constant as string]),
    sumsOfModels(b, rows, "flat"),
  ];
  const step = loaded(graphOf(b, made), cpu);
  try {
    const flat = Array.from({ length: 12 }, (_, i) => i);
    const result = await step.run(
      new Map([
        ["flat", flat],
        ["vector", [10, 20]],
      ]),
    );
    assert.deepEqual(
      made.map((name) => result.get(name)),
      [
        [10, 20, 10, 10, 20, 20],
        flat.map((value, i) => value * ([5, 7, 5, 5, 7, 7][i >> 1] as number)),
        [0 + 1 + 4 + 5 + 6 + 7, 2 + 3 + 8 + 9 + 10 + 11],
      ],
    );
  } finally {
    step.close();
  }
});
