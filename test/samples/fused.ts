import { bytesOf } from "../../src/graph/values.js";
import { fusedAttributes } from "../../src/ops/fused.js";
import { type Sample, tensor } from "./sample.js";

const lastAxis = {
  dtype: "int64" as const,
  shape: [1],
  dataBase64: Buffer.from(bytesOf("int64", [-1])).toString("base64"),
};

/** x·sigmoid(x²) + b, and whether that exceeds b: element by element, two outputs. */
const gate = fusedAttributes({
  nodes: [
    { op: "Mul", inputs: ["x0", "x0"], outputs: ["t0"] },
    { op: "Sigmoid", inputs: ["t0"], outputs: ["t1"] },
    { op: "Mul", inputs: ["x0", "t1"], outputs: ["t2"] },
    { op: "Add", inputs: ["t2", "x1"], outputs: ["y0"] },
    { op: "Greater", inputs: ["y0", "x1"], outputs: ["y1"] },
  ],
  constants: {},
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
  constants: { c0: lastAxis },
  inPlace: [[0, 1]],
});

/** Of fused nodes types, bodies and in-place use are checked here: fuse.test.ts has what makes them. */
export const fusedNodes: readonly Sample[] = [
  { op: "mutwo:Fused", inputs: [tensor([2, 3, 4]), tensor([4])], attributes: gate, outputs: 2 },
  { op: "mutwo:Fused", inputs: [tensor([2, 3, 5]), tensor([2, 3, 5])], attributes: softmaxGradient },
];
