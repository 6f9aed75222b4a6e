import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesOf } from "../../src/graph/values.js";
import { formulaOf, heldAnywhere, heldTensors, isMask, isUniform } from "../../src/model/held.js";
import { randoms } from "../sampled.js";

const tensor = (shape: number[], values: number[]) => ({
  dtype: "float32" as const,
  shape,
  data: bytesOf("float32", values),
});

const table = (rows: number, columns: number, of: (row: number, column: number) => number) =>
  tensor(
    [rows, columns],
    Array.from({ length: rows * columns }, (_, i) => of(Math.floor(i / columns), i % columns)),
  );

test("heldTensors(model) are the float initializers and what Constant nodes say, in any of their attributes", () => {
  const constant = (name: string, attributes: object) =>
    ({ name, domain: "", op: "Constant", inputs: [], outputs: [name], attributes }) as never;
  const nodes = [
    constant("a", { value: { type: "tensor", value: tensor([2], [1, 2]) } }),
    constant("b", { value_floats: { type: "floats", value: [1, 2, 3] } }),
    constant("c", { value_float: { type: "float", value: 1 } }),
    constant("d", { value_ints: { type: "ints", value: [1] } }),
  ];
  const held = heldTensors({ initializers: new Map([["w", tensor([1], [1])]]), nodes });
  assert.deepEqual(
    held.map(({ name, shape, isLiteral }) => `${name} [${shape}] ${isLiteral}`),
    ["w [1] false", "a [2] true", "b [3] true", "c [] true"],
  );
});

test("heldAnywhere(part) looks into subgraphs, and passes over what cannot be read", () => {
  const node = (name: string, op: string, more: object) =>
    ({ name, domain: "", op, inputs: [], outputs: [name], attributes: {}, ...more }) as never;
  const value = { type: "tensor", value: tensor([2], [1, 2]) };
  const inner = { initializers: new Map(), nodes: [node("a", "Constant", { attributes: { value } })] };
  const nodes = [
    node("bad", "Constant", {}),
    node("odd", "Frobnicate", {}),
    node("if", "If", { subgraphs: { inner } }),
  ];
  const held = heldAnywhere({ initializers: new Map([["w", tensor([1], [1])]]), nodes });
  assert.deepEqual(
    held.map(({ name }) => name),
    ["w", "a"],
  );
});

test("isMask(tensor) wants zeros, and ones or one large negative number", () => {
  const masks = [
    [0, 1, 0, 1],
    [0, -100, -100, 0],
    [-3.4e38, 0],
    [0, Number.NEGATIVE_INFINITY],
  ];
  for (const values of masks) assert.ok(isMask(tensor([values.length], values)), String(values));
  const others = [
    [0, 0],
    [1, 1],
    [0, 1, -100],
    [0, 0.5],
    [0, -1],
  ];
  for (const values of others) assert.ok(!isMask(tensor([values.length], values)), String(values));
});

test("isUniform(tensor) compares all elements, beyond the first piece that is read", () => {
  const values = new Array<number>(9000).fill(2);
  assert.ok(isUniform(tensor([9000], values)));
  values[8999] = 3;
  assert.ok(!isUniform(tensor([9000], values)));
});

test("formulaOf(tensor) finds even steps and waves along any axis, and nothing in weights", () => {
  const random = randoms(1);
  assert.equal(formulaOf(table(9, 3, (row) => row)), "even");
  assert.equal(formulaOf(table(3, 9, (_, column) => 1 - column / 5)), "even");
  assert.equal(formulaOf(table(1, 8, (_, column) => 10_000 ** (-column / 8))), "wave");
  const angle = (row: number, column: number): number => row * 100 ** (-Math.floor(column / 2) / 4);
  const sines = table(50, 8, (row, column) => (column % 2 ? Math.cos : Math.sin)(angle(row, column)));
  assert.equal(formulaOf(sines), "wave");
  assert.equal(formulaOf(table(6, 4, () => random())), undefined);
  assert.equal(formulaOf(table(1, 4, () => random())), undefined);
  assert.equal(formulaOf(table(6, 4, () => 1)), undefined);
  // numbers that somebody filled in by hand or by one sine
  assert.equal(formulaOf(tensor([4], [1, 2, 3, 4])), undefined);
  assert.equal(formulaOf(table(11, 4, (row, column) => Math.sin(4 * row + column))), undefined);
  assert.equal(formulaOf(table(1, 11, (_, column) => Math.sin(column))), undefined);
  // what changes along an axis that is too short says nothing
  assert.equal(formulaOf(table(3, 3, (row) => row)), undefined);
});
