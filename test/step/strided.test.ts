import assert from "node:assert/strict";
import { test } from "node:test";
import { denseDimensions, denseStrides, moved, regrouped } from "../../src/step/strided.js";

test("denseStrides(shape) and denseDimensions(shape) go through a tensor as it lies", () => {
  assert.deepEqual(denseStrides([2, 3, 4]), [12, 4, 1]);
  assert.deepEqual(denseDimensions([3, 4]), [
    { size: 3, stride: 4 },
    { size: 4, stride: 1 },
  ]);
  assert.deepEqual(denseStrides([]), []);
});

test("regrouped(dimensions, sizes) gives strides for the same elements in the same order", () => {
  assert.deepEqual(regrouped(denseDimensions([6, 4]), [2, 3, 4]), [12, 4, 1]);
  assert.deepEqual(regrouped(denseDimensions([2, 3, 4]), [6, 1, 4]), [4, 0, 1]);
  // batch and heads of positions before them
  const apart = [
    { size: 2, stride: 12 },
    { size: 3, stride: 4 },
    { size: 5, stride: 24 },
  ];
  assert.deepEqual(regrouped(apart, [6, 5]), [4, 24]);
  assert.deepEqual(regrouped(apart, [2, 3, 5]), [12, 4, 24]);
  assert.equal(regrouped(apart, [2, 15]), undefined);
  assert.equal(regrouped(apart, [2, 3]), undefined);
  assert.equal(regrouped(apart, [2, 3, 10]), undefined);
});

const dimension = (size: number, stride: number) => ({ size, stride, role: "x" as const });

test("moved(elements, shape, strides) follows axes to other strides, and takes apart what goes across several", () => {
  // [2,3,4] as [3,2,4]: what were rows of 4 are 8 apart
  const own = { offset: 0, dimensions: [dimension(6, 4), dimension(4, 1)] };
  assert.deepEqual(moved(own, [2, 3, 4], [4, 8, 1]), {
    offset: 0,
    dimensions: [dimension(2, 4), dimension(3, 8), dimension(4, 1)],
  });
  // the second half of rows, in rows that are twice as long
  const half = { offset: 2, dimensions: [dimension(6, 4), dimension(2, 1)] };
  assert.deepEqual(moved(half, [6, 4], [8, 1]), { offset: 2, dimensions: [dimension(6, 8), dimension(2, 1)] });
  // one place keeps its axis, and an axis of one place is none
  assert.deepEqual(moved({ offset: 8, dimensions: [dimension(1, 4), dimension(4, 1)] }, [3, 1, 4], [1, 12, 3]), {
    offset: 2,
    dimensions: [dimension(1, 0), dimension(4, 3)],
  });
});

test("moved(elements, shape, strides) is undefined for steps that no axis takes", () => {
  assert.equal(moved({ offset: 0, dimensions: [dimension(4, 6)] }, [6, 4], [4, 1]), undefined);
  // from the middle of one row into the next
  assert.equal(moved({ offset: 2, dimensions: [dimension(4, 1)] }, [6, 4], [8, 1]), undefined);
});
