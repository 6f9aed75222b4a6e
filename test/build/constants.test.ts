import assert from "node:assert/strict";
import { test } from "node:test";
import { Constants } from "../../src/build/constants.js";
import type { Tensor } from "../../src/graph/graph.js";

const made = () => {
  const tensors: Tensor[] = [];
  const constants = new Constants(
    (wish) => wish,
    (tensor) => void tensors.push(tensor),
  );
  return { constants, tensors };
};

test("equal constants are one tensor, however their values are given", () => {
  const { constants, tensors } = made();
  const ones = constants.name("float32", [300], 1);
  assert.equal(constants.name("float32", [300], 1), ones);
  assert.equal(constants.name("float32", [300], new Array<number>(300).fill(1)), ones);
  assert.equal(tensors.length, 1);
  assert.equal(tensors[0]?.data?.length, 1200);
});

test("constants of another type, shape or value are others", () => {
  const { constants, tensors } = made();
  const names = [
    constants.name("float32", [], 0),
    constants.name("float64", [], 0),
    constants.name("float32", [1], 0),
    constants.name("float32", [2], [0, 1]),
  ];
  assert.equal(tensors.length, 4);
  assert.equal(names[0], "const.float32.0");
});

test("a constant of more than 2²⁶ elements is refused", () => {
  const { constants } = made();
  assert.throws(
    () => constants.name("float32", [2 ** 27], 1),
    /^Error: constant too large: \[134217728\], the most is/,
  );
});
