import assert from "node:assert/strict";
import { test } from "node:test";
import { classSums, elementSums } from "../../src/train/sums.js";

const classes = { axis: 1, classes: 3, smoothing: 0, ignored: undefined };

test("classSums by hand: two positions, of which the second is wrong", () => {
  const sums = classSums(classes, [1, 2]);
  sums.add({ shape: [2, 3], scores: [0, Math.log(2), 0, Math.log(4), 0, 0], target: [1, 2] }, 1);
  const { count, loss, unlikelihood, correct, hits } = sums.total();
  // probabilities 2/4 and 1/6
  assert.ok(Math.abs(loss - (Math.log(2) + Math.log(6))) < 1e-12);
  assert.equal(unlikelihood, loss);
  assert.deepEqual(
    [count, correct, [...hits]],
    [
      2,
      1,
      [
        [1, 1],
        [2, 1],
      ],
    ],
  );
});

test("classSums counts the first of equal scores as the highest, and what is not a number as wrong", () => {
  const sums = classSums(classes, []);
  sums.add({ shape: [4, 3], scores: [5, 5, 1, 5, 5, 1, 5, Number.NaN, 1, Number.NaN, 1, 1], target: [0, 1, 0, 0] }, 1);
  const { count, correct, loss } = sums.total();
  assert.deepEqual([count, correct], [4, 1]);
  assert.ok(Number.isNaN(loss));
});

test("classSums leaves padding and ignored labels out, whatever stands there", () => {
  const sums = classSums({ ...classes, ignored: -1 }, []);
  sums.add({ shape: [4, 3], scores: [1, 0, 0, 0, 9, 0, 1, 0, 0, 0, 9, 0], target: [0, -1, 99, 99] }, 0.5);
  assert.deepEqual([sums.total().count, sums.total().correct], [1, 1]);
  assert.throws(
    () => sums.add({ shape: [1, 3], scores: [1, 0, 0], target: [3] }, 1),
    /no class 3 of 3 \(position 0 of a batch's targets\)/,
  );
  assert.throws(
    () => sums.add({ shape: [1, 3], scores: [1, 0, 0], target: [1, 1] }, 1),
    /2 targets for the 1 positions of an output \[1,3\]/,
  );
  assert.throws(() => sums.add({ shape: [1, 3], scores: [1, 0, 0], target: undefined }, 1), /no targets/);
});

test("elementSums by hand: errors, and the side of 0 on which an element lies", () => {
  const sums = elementSums("mse");
  sums.add({ shape: [2, 2], scores: [1, 2, 3, 4], target: [0, 4, 0, 0] }, 0.5);
  assert.deepEqual(sums.total(), { count: 2, loss: 5, absolute: 3, squared: 5, correct: 1 });
  const sides = elementSums("bce");
  sides.add({ shape: [4], scores: [2, -2, 0, 1e4], target: [1, 1, 0, 0] }, 1);
  const { correct, count, loss } = sides.total();
  assert.deepEqual([correct, count], [2, 4]);
  const [near, far] = [Math.log(1 + Math.exp(-2)), Math.log(1 + Math.exp(2))];
  assert.ok(Math.abs(loss - (near + far + Math.log(2) + 1e4)) < 1e-9);
});

test("elementSums of a model that computes its own loss is the mean over batches", () => {
  const sums = elementSums("sum");
  sums.add({ shape: [], scores: [3], target: undefined }, 0.5);
  sums.add({ shape: [4], scores: [1, 2, 50, 50], target: undefined }, 0.5);
  assert.deepEqual([sums.total().loss, sums.total().count], [6, 2]);
});
