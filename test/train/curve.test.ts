import assert from "node:assert/strict";
import { test } from "node:test";
import {
  addToCurve,
  addToMemory,
  type MemoryCurve,
  mostPoints,
  newCurve,
  pointsOf,
  type StepCurve,
} from "../../src/train/curve.js";

test("addToCurve keeps each number of a short training", () => {
  const curve = newCurve();
  for (const value of [3, 1, 2]) addToCurve(curve, value);
  assert.deepEqual(pointsOf(curve), { steps: [1, 2, 3], values: [3, 1, 2] });
});

test("addToCurve joins neighbours of a long training; its mean stays the mean of all", () => {
  const curve = newCurve();
  const count = 5 * mostPoints + 3;
  let sum = 0;
  for (let i = 0; i < count; i++) {
    addToCurve(curve, i % 7);
    sum += i % 7;
  }
  const { steps, values } = pointsOf(curve);
  assert.equal(curve.stride, 8);
  assert.ok(values.length <= mostPoints);
  assert.equal(steps.at(-1), count);
  const rest = curve.count || curve.stride;
  const weights = values.map((_, i) => (i === values.length - 1 ? rest : curve.stride));
  const mean = values.reduce((all, value, i) => all + value * (weights[i] as number), 0);
  assert.ok(Math.abs(mean - sum) < 1e-6 * sum);
});

test("a curve saved in between as JSON goes on to the same numbers", () => {
  const [whole, first] = [newCurve(), newCurve()];
  const values = Array.from({ length: 3 * mostPoints }, (_, i) => Math.sin(i));
  for (const value of values) addToCurve(whole, value);
  for (const value of values.slice(0, mostPoints + 5)) addToCurve(first, value);
  const again = JSON.parse(JSON.stringify(first)) as StepCurve;
  for (const value of values.slice(mostPoints + 5)) addToCurve(again, value);
  assert.deepEqual(again, whole);
});

test("addToMemory keeps the most of neighbours", () => {
  const curve: MemoryCurve = { what: "resident", steps: [], bytes: [] };
  for (let i = 0; i < mostPoints; i++) addToMemory(curve, i + 1, i === 100 ? 1e9 : 1000 + i);
  assert.equal(curve.steps.length, mostPoints / 2);
  assert.equal(Math.max(...curve.bytes), 1e9);
  assert.equal(curve.steps.at(-1), mostPoints);
});
