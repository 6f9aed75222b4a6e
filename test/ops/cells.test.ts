import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { type Attributes, float, int } from "../../src/graph/graph.js";
import { callOf } from "../../src/ops/call.js";
import { type Cell, type Direction, gruCell, lstmCell, rnnCell, split } from "../../src/ops/cells.js";
import { math } from "../../src/ops/math.js";

/** The ops that two steps of a cell become: those before the steps, those of the first, those of the second. */
function opsOf(cell: Cell, gates: number, more: Partial<Direction> = {}, attributes: Attributes = {}): string[] {
  const b = new Builder();
  const declare = (name: string, ...shape: number[]): string =>
    b.declare({ name, dtype: "float32", shape, category: "input" });
  const [steps, batch, features, hidden] = [2, 3, 5, 4];
  const m = math(b);
  declare("p", 3 * hidden);
  declare("bias", 2 * gates * hidden);
  const node = { name: "cell", domain: "", op: "RNN", inputs: [], outputs: [], attributes, phase: "forward" } as const;
  const call = { ...callOf(node, b.tensors), b, x: () => "" };
  const next = cell(call, {
    b,
    sizes: { steps, batch, features, hidden, directions: ["forward"], batchFirst: false },
    x: declare("x", steps * batch, features),
    w: declare("w", gates * hidden, features),
    r: declare("r", gates * hidden, hidden),
    bias: undefined,
    peepholes: undefined,
    h: undefined,
    c: undefined,
    activations: cell === rnnCell ? [m.tanh] : [m.sigmoid, m.tanh, m.tanh],
    ...more,
  });
  const ops = (): string =>
    b.nodes
      .splice(0)
      .map(({ op }) => op)
      .join(" ");
  const before = ops();
  const first = next(0, { h: undefined, c: undefined });
  const ofFirst = ops();
  const { h } = next(1, first);
  assert.deepEqual(b.type(h as string).shape, [batch, hidden]);
  return [before, ofFirst, ops()];
}

test("split(b, x, sizes) is x itself where there is one part", () => {
  const b = new Builder();
  assert.deepEqual(split(b, "x", [4], 0), ["x"]);
  assert.equal(b.nodes.length, 0);
});

test("rnnCell multiplies all steps by W at once, and a step that has no state by nothing", () => {
  assert.deepEqual(opsOf(rnnCell, 1), ["Gemm Split", "Tanh", "Gemm Tanh"]);
  assert.deepEqual(opsOf(rnnCell, 1, { bias: "bias" })[0], "Split Add Gemm Split");
  assert.deepEqual(opsOf(rnnCell, 1, {}, { clip: float(2) })[2], "Gemm Clip Tanh");
});

test("lstmCell activates three gates in one node; the first step keeps nothing of a cell", () => {
  const [before, first, second] = opsOf(lstmCell, 4);
  assert.equal(before, "Gemm Split");
  assert.equal(first, "Split Sigmoid Split Tanh Mul Tanh Mul");
  assert.equal(second, "Gemm Split Sigmoid Split Tanh Mul Mul Add Tanh Mul");
});

test("lstmCell with peepholes activates each gate apart: o after the cell; with input_forget f is made of i", () => {
  const [, , second] = opsOf(lstmCell, 4, { peepholes: "p" });
  assert.equal(second?.match(/Sigmoid/g)?.length, 3);
  assert.match(second ?? "", /Mul Add Sigmoid Tanh Mul$/);
  const [, , coupled] = opsOf(lstmCell, 4, {}, { input_forget: int(1) });
  assert.equal(coupled, "Gemm Split Sigmoid Split Tanh Mul Sub Mul Add Tanh Mul");
});

test("gruCell resets the state before the product with R, or the product itself with linear_before_reset", () => {
  const [, first, second] = opsOf(gruCell, 3);
  assert.equal(first, "Sigmoid Split Tanh Sub Mul");
  assert.equal(second, "Gemm Sigmoid Split Mul Gemm Tanh Sub Mul Add");
  assert.equal(
    opsOf(gruCell, 3, {}, { linear_before_reset: int(1) })[2],
    "Gemm Sigmoid Split Gemm Mul Add Tanh Sub Mul Add",
  );
});
