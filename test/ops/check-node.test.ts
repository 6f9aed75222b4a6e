import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { type Attributes, type DType, float, int, ints, type Node, text } from "../../src/graph/graph.js";
import { bytesOf } from "../../src/graph/values.js";
import { maxElements, withoutIdle } from "../../src/ops/check-node.js";
import { ops } from "../../src/ops/index.js";
import { schemaOf } from "../../src/ops/schema.js";
import { byOp, saidOf } from "../sampled.js";

const sampled = (op: string) => byOp.get(op) ?? [];

for (const [op, record] of ops)
  if (!op.startsWith("mutwo:"))
    test(`${op} takes the element types beside each other that its record says`, async () => {
      const isRefused = (said: string): boolean => /Type Error: Type (parameter|')/.test(said);
      const hasNoKernel = (said: string): boolean => said.includes("Could not find an implementation");
      for (const sample of sampled(op).slice(0, 3)) {
        const floats = sample.inputs.flatMap((input, i) =>
          input && !input.constant && input.same === undefined && (input.dtype ?? "float32") === "float32" ? [i] : [],
        );
        const later = floats.filter((i) => i > 0);
        if (floats[0] !== 0 || later.length === 0) continue;
        const opsets = [...(sample.opsets ?? []), 18, 23];
        const plain = await Promise.all(opsets.map((opset) => saidOf(sample, opset)));
        const opset = opsets[plain.indexOf("")];
        if (opset === undefined) continue;
        const each = await Promise.all(later.map((i) => saidOf(sample, opset, [i])));
        if (record.inputTypes !== "any")
          assert.ok(
            each.every((said) => isRefused(said) || hasNoKernel(said)),
            `${op} takes another type beside input 0: ${each}`,
          );
        else {
          // further inputs may have to agree among themselves; before opset 17 kernels are ONNX Runtime's own
          const all = await Promise.all([opset, 13].map((version) => saidOf(sample, version, later)));
          assert.ok(![...each, ...all].every(isRefused), `${op} takes one type only: ${each}`);
        }
      }
    });

test("checkInputs(call, record) names both types and the node", () => {
  const b = new Builder();
  const declare = (name: string, dtype: DType): string => b.declare({ name, dtype, shape: [2], category: "input" });
  const [half, single, whole, long] = [
    declare("half", "float16"),
    declare("single", "float32"),
    declare("whole", "int32"),
    declare("long", "int64"),
  ];
  assert.throws(() => b.op("Add", [half, single]), /^Error: type mismatch: float16 and float32 \(node /);
  assert.throws(() => b.op("BitwiseAnd", [whole, long]), /type mismatch: int32 and int64/);
  assert.throws(() => b.op("PRelu", [half, single]), /type mismatch: float16 and float32/);
  assert.equal(b.type(b.op("Pow", [half, whole])).dtype, "float16");
  assert.equal(b.type(b.op("CastLike", [whole, half])).dtype, "float16");
});

/** A shape in float32, an element type with a shape and perhaps constant values, or nothing. */
type Given = readonly number[] | readonly [DType, readonly number[], (readonly number[])?] | "";

/** What is said of a node of a model file. */
function said(
  op: string,
  inputs: readonly Given[],
  attributes: Attributes = {},
  { opset = 18, outputs = ["y"], domain = "" } = {},
): string {
  const b = new Builder();
  const names = inputs.map((input, i) => {
    if (input === "") return "";
    const [dtype, shape, values] = typeof input[0] === "string" ? input : (["float32", input] as const);
    const data = values && bytesOf(dtype as DType, values as readonly number[]);
    const type = { name: `x${i}`, dtype: dtype as DType, shape: shape as readonly number[] };
    return b.declare(data ? { ...type, category: "constant", data } : { ...type, category: "input" });
  });
  const node: Node = { name: "n", domain, op, inputs: names, outputs, attributes, phase: "forward" };
  try {
    b.infer(node, opset);
    return "";
  } catch (error) {
    return (error as Error).message.replace(/ \(node .*/, "");
  }
}

const shape = (...values: readonly number[]) => ["int64", [values.length], values] as const;

const image = [1, 2, 5, 5];

test("checkNode(call, record) refuses absent and superfluous inputs and outputs", () => {
  assert.equal(said("Add", [[2, 3]]), "Add lacks input 1 (B)");
  assert.equal(said("Sum", [[2, 3], ""]), "Sum lacks input 1 (data_0)");
  assert.equal(said("Concat", [], { axis: int(0) }), "Concat lacks input 0 (inputs)");
  assert.equal(said("Relu", [[2], [2]]), "Relu has no input 1");
  assert.equal(said("Relu", [[2]], {}, { outputs: ["y", "z"] }), "Relu has no output 1");
  assert.equal(
    said("SkipLayerNormalization", [[2, 3, 4], ""], {}, { domain: "com.microsoft" }),
    "SkipLayerNormalization lacks input 1 (skip)",
  );
  assert.equal(said("Clip", [[2], "", []]), "");
});

test("checkNode(call, record) refuses attributes that the opset does not know, lack, are of another type or out of range", () => {
  const window = { kernel_shape: ints([2, 2]) };
  assert.equal(said("MaxPool", [image], window), "");
  assert.equal(said("MaxPool", [image]), "MaxPool lacks attribute kernel_shape");
  assert.equal(
    said("MaxPool", [image], { kernel_shape: ints([0, 2]) }),
    "attribute kernel_shape of MaxPool is 0: the least is 1",
  );
  assert.equal(
    said("MaxPool", [image], { ...window, pads: ints([0, 0, -1, 0]) }),
    "attribute pads of MaxPool is -1: the least is 0",
  );
  assert.match(said("MaxPool", [image], { ...window, strides: ints([1, 2 ** 31]) }), /the most is 1048576$/);
  assert.equal(
    said("MaxPool", [image], { ...window, auto_pad: text("SAME") }),
    "MaxPool knows no auto_pad=SAME: it is one of NOTSET, SAME_UPPER, SAME_LOWER, VALID",
  );
  assert.equal(
    said("AveragePool", [image], { ...window, dilations: ints([1, 1]) }),
    "AveragePool of opset 18 has no attribute dilations",
  );
  assert.equal(said("AveragePool", [image], { ...window, dilations: ints([1, 1]) }, { opset: 19 }), "");
  assert.equal(
    said("MaxPool", [image], { ...window, ceil_mode: int(1) }, { opset: 9 }),
    "MaxPool of opset 9 has no attribute ceil_mode",
  );
  assert.equal(said("MaxPool", [image], { ...window, ceil_mode: int(0) }, { opset: 9 }), "");
  assert.equal(said("Softmax", [[2, 3]], { axis: float(1) }), "attribute axis of Softmax is float, not int");
  assert.equal(said("Softmax", [[2, 3]], { axis: int(2) }), "axis out of range: 2 for rank 2");
  assert.equal(said("Flatten", [[2, 3]], { axis: int(2) }), "");
  assert.equal(said("Flatten", [[2, 3]], { axis: int(-3) }), "axis out of range: -3 for rank 2");
  assert.match(
    said("Resize", [image, "", ["float32", [4], [1, 1, 2, 2]]], { mode: text("bilinear") }),
    /^Resize knows no mode=bilinear/,
  );
  assert.match(said("Pad", [[2, 3], shape(0, 1, 0, 1)], { mode: text("mirror") }), /^Pad knows no mode=mirror/);
  assert.equal(
    said("Squeeze", [[1, 3]], { axes: ints([0]) }, { opset: 13 }),
    "Squeeze of opset 13 has no attribute axes",
  );
  assert.equal(said("Conv", [image, [2, 2, 3, 3]], { group: int(0) }), "attribute group of Conv is 0: the least is 1");
  assert.match(said("Conv", [image, [2, 2, 3, 3]], { kernel_shape: ints([2, 3]) }), /^shape mismatch: kernel_shape/);
  assert.match(said("Transpose", [[2, 3]], { perm: ints([0, 2]) }), /^shape mismatch: perm/);
  assert.match(
    said(
      "GatherND",
      [
        [2, 3],
        ["int64", [1, 1]],
      ],
      { batch_dims: int(-4) },
    ),
    /batch_dims/,
  );
  assert.match(said("Pad", [[2, 3], shape(0, 3, 0, 0)], { mode: text("reflect") }), /^shape mismatch: pads/);
});

test("checkNode(call, record) names element types that the op does not take", () => {
  assert.equal(
    said("Pad", [
      [2, 3],
      ["int32", [4], [0, 0, 0, 0]],
    ]),
    "type mismatch: pads of Pad is int32, not int64",
  );
  assert.match(said("Exp", [["int64", [2]]]), /^type mismatch: input of Exp is int64, not float32/);
  assert.equal(
    said("Gather", [
      [2, 3],
      ["int32", [1]],
    ]),
    "",
  );
  assert.equal(
    said(
      "Max",
      [
        ["int64", [2]],
        ["int64", [2]],
      ],
      {},
      { opset: 8 },
    ),
    "",
  );
});

test("checkInputs(call, record) and checkOutputs(call, types) refuse tensors of nothing, of no size and of too much", () => {
  assert.match(said("ReduceSum", [[2, 0]]), /^tensor without elements: x0 \[2,0\]/);
  assert.match(
    said("MatMul", [
      [2, 0],
      [0, 3],
    ]),
    /^tensor without elements/,
  );
  assert.equal(
    said(
      "Concat",
      [
        ["int64", [0]],
        ["int64", [2]],
      ],
      { axis: int(0) },
    ),
    "",
  );
  assert.match(said("Expand", [[2], shape(-1, 2)]), /^impossible shape: y \[-1,2\]/);
  assert.match(
    said("Range", [
      ["float32", [], [0]],
      ["float32", [], [Infinity]],
      ["float32", [], [1]],
    ]),
    /^impossible shape: y \[Infinity\]/,
  );
  assert.match(
    said("Pad", [[1], shape(0, maxElements)]),
    /^tensor too large: y \[2147483648\] has 2147483648 elements/,
  );
  assert.match(said("Split", [[4]], { num_outputs: int(1e9) }), /^Split makes 1000000000 parts, the node names 1/);
  assert.match(said("HannWindow", [["int64", [], [2 ** 31]]]), /^HannWindow of 2147483648 elements/);
});

test("withoutIdle(node) leaves out what holds anyway, and nothing else", () => {
  const of = (attributes: Attributes) =>
    Object.keys(withoutIdle({ domain: "", op: "BatchNormalization", attributes }).attributes);
  assert.deepEqual(of({ spatial: int(1), epsilon: float(1e-3), __tool: int(3) }), ["epsilon"]);
  assert.deepEqual(of({ spatial: int(0) }), ["spatial"]);
});

test("every op of ONNX Runtime's own domain has a schema", () => {
  const without = [...ops.keys()].filter((name) => {
    const [domain, op] = name.split(":") as [string, string?];
    return op !== undefined && domain === "com.microsoft" && !schemaOf({ domain, op }, 1);
  });
  assert.deepEqual(without, []);
});
