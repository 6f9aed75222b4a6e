import { fusedAttributes } from "../../src/ops/fused.js";
import { bytesOf } from "../../src/values.js";
import { type Sample, tensor } from "./sample.js";

const constant = (dtype: "float32" | "int64", shape: readonly number[], values: readonly number[]) => ({
  dtype,
  shape,
  dataBase64: Buffer.from(bytesOf(dtype, values)).toString("base64"),
});

/** x·sigmoid(2x) + b, and whether that is positive: element by element, two outputs. */
const gate = fusedAttributes({
  nodes: [
    { op: "Mul", inputs: ["x0", "c0"], outputs: ["t0"] },
    { op: "Sigmoid", inputs: ["t0"], outputs: ["t1"] },
    { op: "Mul", inputs: ["x0", "t1"], outputs: ["t2"] },
    { op: "Add", inputs: ["t2", "x1"], outputs: ["y0"] },
    { op: "Greater", inputs: ["y0", "c1"], outputs: ["y1"] },
  ],
  constants: { c0: constant("float32", [], [2]), c1: constant("float32", [], [0]) },
  inPlace: [[0], []],
});

/** The gradient of softmax over the last axis: y·(dY − Σ dY·y). */
const softmaxGradient = fusedAttributes({
  nodes: [
    { op: "Mul", inputs: ["x0", "x1"], outputs: ["t0"] },
    { op: "ReduceSum", inputs: ["t0", "c0"], outputs: ["t1"], attributes: { keepdims: { type: "int", value: 1 } } },
    { op: "Sub", inputs: ["x0", "t1"], outputs: ["t2"] },
    { op: "Mul", inputs: ["x1", "t2"], outputs: ["y0"] },
  ],
  constants: { c0: constant("int64", [1], [-1]) },
  inPlace: [[0, 1]],
});

/** Of fused nodes types, bodies and in-place use are checked here: fuse.test.ts has what makes them. */
export const fusedNodes: readonly Sample[] = [
  { op: "mutwo:Fused", inputs: [tensor([2, 3, 4]), tensor([4])], attributes: gate, outputs: 2 },
  { op: "mutwo:Fused", inputs: [tensor([2, 3, 5]), tensor([2, 3, 5])], attributes: softmaxGradient },
];
