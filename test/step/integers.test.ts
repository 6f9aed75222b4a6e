import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { type DType, int, type Node } from "../../src/graph/graph.js";
import { bytesOf, type Value, valuesOf } from "../../src/graph/values.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { widerIntegers } from "../../src/step/integers.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const vector = (dtype: DType, ...values: number[]): Value => ({
  dtype,
  shape: [values.length],
  data: bytesOf(dtype, values),
});

const node = (op: string, count: number, attributes: Node["attributes"] = {}): Node => ({
  name: "n",
  domain: "",
  op,
  inputs: ["a", "b", "c"].slice(0, count),
  outputs: ["y"],
  attributes,
  phase: "forward",
});

const run = (op: string, inputs: Value[], attributes: Node["attributes"] = {}): [DType | undefined, number[]] => {
  const [value] = cpu.evaluate(node(op, inputs.length, attributes), inputs);
  return [value?.dtype, value ? valuesOf(value.dtype, value.data) : []];
};

const signed = ["int8", "int16", "int32", "int64"] as const;
const unsigned = ["uint8", "uint16", "uint32", "uint64"] as const;

for (const dtype of [...signed, ...unsigned])
  test(`CPU kernels compute ${dtype}, in a wider type where there is none for it`, () => {
    const [a, b] = [vector(dtype, 7, 2, 100), vector(dtype, 3, 5, 9)];
    for (const [op, expected] of [
      ["Max", [7, 5, 100]],
      ["Min", [3, 2, 9]],
      ["Add", [10, 7, 109]],
      ["Sub", [4, -3, 91].map((x) => (x < 0 && dtype.startsWith("u") ? 2 ** ((8 * a.data.length) / 3) + x : x))],
      ["Div", [2, 0, 11]],
      ["Mod", [1, 2, 1]],
    ] as const) {
      // 2^64 − 3 is no number of JavaScript
      if (op === "Sub" && dtype === "uint64") continue;
      assert.deepEqual(run(op, [a, b]), [dtype, expected], op);
    }
    assert.deepEqual(run("Greater", [a, b]), ["bool", [1, 0, 1]]);
    assert.deepEqual(run("Where", [vector("bool", 1, 0, 1), a, b]), [dtype, [7, 5, 100]]);
    assert.deepEqual(run("Abs", [a]), [dtype, [7, 2, 100]]);
    assert.deepEqual(run("Sign", [a]), [dtype, [1, 1, 1]]);
    const bound = (value: number): Value => ({ ...vector(dtype, value), shape: [] });
    assert.deepEqual(run("Clip", [a, bound(3), bound(50)]), [dtype, [7, 3, 50]]);
    assert.deepEqual(run("ReduceMax", [a], { keepdims: int(0) }), [dtype, [100]]);
    assert.deepEqual(run("ArgMax", [a], { axis: int(0), keepdims: int(0) }), ["int64", [2]]);
  });

test("CPU kernels compute negative integers, sums that wrap round, and bools", () => {
  for (const dtype of signed) {
    assert.deepEqual(run("Max", [vector(dtype, -7, 2), vector(dtype, -3, -5)]), [dtype, [-3, 2]], dtype);
    assert.deepEqual(run("Relu", [vector(dtype, -7, 2)]), [dtype, [0, 2]], dtype);
    assert.deepEqual(run("Mod", [vector(dtype, -7, 7), vector(dtype, 3, -3)]), [dtype, [2, -2]], dtype);
  }
  assert.deepEqual(run("Add", [vector("uint8", 200), vector("uint8", 100)]), ["uint8", [44]]);
  const [p, q] = [vector("bool", 1, 0, 1), vector("bool", 0, 0, 1)];
  assert.deepEqual(run("Where", [vector("bool", 1, 1, 0), p, q]), ["bool", [1, 0, 1]]);
});

test("widerIntegers(b, node, hasKernel) asks for wider types in turn, and gives up where there is no kernel for any", () => {
  const b = new Builder();
  for (const name of ["a", "b"]) b.declare({ name, dtype: "int16", shape: [2], category: "input" });
  b.declare({ name: "y", dtype: "int16", shape: [2], category: "activation" });
  const asked: string[] = [];
  const none = widerIntegers(b, node("Mul", 2), (_, { tensors }) => {
    asked.push(["a", "b", "y"].map((name) => tensors.get(name)?.dtype).join());
    return false;
  });
  assert.equal(none, undefined);
  assert.deepEqual(
    asked,
    ["int32", "int64", "float32"].map((dtype) => [dtype, dtype, dtype].join()),
  );
  b.declare({ name: "f", dtype: "float32", shape: [2], category: "input" });
  assert.equal(
    widerIntegers(b, { ...node("Mul", 2), inputs: ["f", "f"] }, () => true),
    undefined,
  );
});
