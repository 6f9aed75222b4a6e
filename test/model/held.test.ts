import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesOf } from "../../src/graph/values.js";
import { heldAnywhere, heldTensors, isUniform, maskOf } from "../../src/model/held.js";

const tensor = (shape: number[], values: number[]) => ({
  dtype: "float32" as const,
  shape,
  data: bytesOf("float32", values),
});

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

test("maskOf(tensor) wants zeros, and ones or few large negative numbers", () => {
  const summands = [
    [0, -100, -100, 0],
    [-3.4e38, 0],
    [0, Number.NEGATIVE_INFINITY],
    [0, -1e9, -2e9, -1e9],
  ];
  assert.equal(maskOf(tensor([4], [0, 1, 0, 1])), "factor");
  for (const values of summands) assert.equal(maskOf(tensor([values.length], values)), "summand", String(values));
  const others = [
    [0, 0],
    [1, 1],
    [0, 1, -100],
    [0, 0.5],
    [0, -1],
    [0, -101, -102, -103, -104, -105],
    [-100, -200],
  ];
  for (const values of others) assert.equal(maskOf(tensor([values.length], values)), undefined, String(values));
});

test("isUniform(tensor) compares all elements, beyond the first piece that is read", () => {
  const values = new Array<number>(9000).fill(2);
  assert.ok(isUniform(tensor([9000], values)));
  values[8999] = 3;
  assert.ok(!isUniform(tensor([9000], values)));
});
