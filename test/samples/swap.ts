import { type Sample, tensor } from "./sample.js";

const two = (op: string): Sample[] => [
  { op, inputs: [tensor([2, 3]), tensor([2, 3])] },
  {
    op,
    inputs: [
      { dtype: "int64", shape: [2], values: [1, 2] },
      { dtype: "int64", shape: [2], values: [1, 2] },
    ],
  },
];

/** Of swaps only types and a run are checked here: swap.test.ts has the rest. */
export const swapping: readonly Sample[] = [
  { op: "mutwo:SwapOut", inputs: [tensor([2, 3])] },
  { op: "mutwo:SwapOut", inputs: [{ dtype: "bool", shape: [2], values: [1, 0] }] },
  { op: "mutwo:SwapIn", inputs: [tensor([])] },
  { op: "mutwo:SwapIn", inputs: [{ dtype: "int64", shape: [1, 2], values: [1, 2] }] },
  ...two("mutwo:SwapOutWait"),
  ...two("mutwo:SwapInWait"),
];
