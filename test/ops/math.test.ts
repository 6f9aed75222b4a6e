import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { math } from "../../src/ops/math.js";
import { linesOf } from "../lines.js";
import { graphOf } from "../sampled.js";

const built = (dtype: "float32" | "float64" = "float32") => {
  const b = new Builder();
  for (const name of ["x", "y"]) b.declare({ name, dtype, shape: [2], category: "input" });
  return { b, m: math(b), op: (name: string) => b.nodes.find(({ outputs }) => outputs.includes(name)) };
};

test("math(b).sub(x, y) is one node; a number becomes a scalar of the other operand's type, on its side", () => {
  const { b, m, op } = built("float64");
  assert.deepEqual(op(m.sub("x", "y"))?.inputs, ["x", "y"]);
  const [left, x] = op(m.sub(2, "x"))?.inputs ?? [];
  const [again, right] = op(m.div("x", 2))?.inputs ?? [];
  assert.deepEqual([x, again, right], ["x", "x", left]);
  const { dtype, shape, category } = b.type(left as string);
  assert.deepEqual([dtype, shape, category], ["float64", [], "constant"]);
  assert.deepEqual(
    b.nodes.map((node) => node.op),
    ["Sub", "Sub", "Div"],
  );
});

test("math(b).add(1, 2) refuses two numbers: no tensor says of which type", () =>
  assert.throws(() => built().m.add(1, 2), { message: "no tensor among the operands: 1, 2" }));

test("math(b).masked(mask, x) multiplies by the mask, cast to x's type", () => {
  const { b, m } = built();
  const made = m.masked(m.greater("x", "y"), "x");
  assert.deepEqual(
    linesOf(graphOf(b, [made])).map((line) => line.trim().replace(/^.* = /, "")),
    ["Greater(x, y)", "Cast<to=1>(Greater:0)", "Mul(x, Cast:0)"],
  );
});

test("math(b).where(condition, x, 0) chooses between a tensor and a number", () => {
  const { b, m, op } = built();
  const [, x, zero] = op(m.where(m.less("x", "y"), "x", 0))?.inputs ?? [];
  assert.equal(x, "x");
  assert.deepEqual([...(b.type(zero as string).data ?? [])], [0, 0, 0, 0]);
});
