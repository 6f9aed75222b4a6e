import assert from "node:assert/strict";
import { test } from "node:test";
import { FreeNames } from "../../src/build/free-names.js";

test("FreeNames.fresh(wish) numbers a wish that is taken, from 2 on; one given back is free again", () => {
  const names = new FreeNames();
  assert.deepEqual(
    [1, 2, 3].map(() => names.fresh("x")),
    ["x", "x_2", "x_3"],
  );
  names.take("x_4");
  assert.equal(names.fresh("x"), "x_5");
  names.release("x_3");
  assert.deepEqual([names.fresh("x"), names.fresh("x")], ["x_3", "x_6"]);
});

test("FreeNames.reserve(nodes) keeps their names and their tensors' for them, once", () => {
  const names = new FreeNames();
  names.reserve([{ name: "n", outputs: ["y", ""] }]);
  assert.deepEqual([names.fresh("n"), names.fresh("y")], ["n_2", "y_2"]);
  assert.deepEqual([names.ofNode("n", true), names.ofNode("n", true), names.ofNode("y", false)], ["n", "n_3", "y_3"]);
});
