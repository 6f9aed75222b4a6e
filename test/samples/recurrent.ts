import { float, int, text } from "../../src/graph/graph.js";
import { type Sample, type SampleInput, tensor } from "./sample.js";

const lengths = (...values: readonly number[]): SampleInput => ({
  dtype: "int32",
  shape: [values.length],
  values,
  constant: true,
});

/** X, W, R and B of a layer. */
const layer = (gates: number, steps: number, batch: number, features: number, hidden: number, directions = 1) => [
  tensor([steps, batch, features]),
  tensor([directions, gates * hidden, features]),
  tensor([directions, gates * hidden, hidden]),
  tensor([directions, 2 * gates * hidden]),
];

const activations = (...value: readonly string[]) => ({ type: "strings", value }) as const;

const floats = (...value: readonly number[]) => ({ type: "floats", value }) as const;

export const recurrent: readonly Sample[] = [
  {
    op: "RNN",
    inputs: layer(1, 3, 2, 3, 2),
    attributes: { hidden_size: int(2) },
    outputs: 2,
    differentiate: [0, 1, 2, 3],
  },
  {
    op: "RNN",
    inputs: [...layer(1, 2, 1, 1, 3, 2), lengths(2), tensor([2, 1, 3])],
    attributes: {
      hidden_size: int(3),
      direction: text("bidirectional"),
      activations: activations("Affine", "Softsign"),
      activation_alpha: floats(0.5),
      activation_beta: floats(0.1),
    },
    outputs: 2,
    differentiate: [0, 1, 2, 3, 5],
  },
  {
    op: "RNN",
    inputs: layer(1, 3, 2, 2, 2).slice(0, 3),
    attributes: { hidden_size: int(2), direction: text("reverse"), activations: activations("Relu") },
    differentiate: [0, 1, 2],
    step: 1e-4,
  },
  {
    op: "LSTM",
    inputs: layer(4, 3, 2, 3, 2),
    attributes: { hidden_size: int(2) },
    outputs: 3,
    differentiate: [0, 1, 2, 3],
  },
  {
    op: "LSTM",
    inputs: [...layer(4, 2, 3, 1, 2, 2), lengths(2, 2, 2), tensor([2, 3, 2]), tensor([2, 3, 2])],
    attributes: { hidden_size: int(2), direction: text("bidirectional") },
    outputs: 3,
    differentiate: [0, 1, 2, 3, 5, 6],
  },
  {
    op: "LSTM",
    inputs: [...layer(4, 3, 2, 2, 1), undefined, undefined, tensor([1, 2, 1]), tensor([1, 3])],
    attributes: { hidden_size: int(1), direction: text("reverse") },
    outputs: 3,
    unwanted: [0],
    differentiate: [0, 1, 2, 3, 6, 7],
  },
  {
    op: "LSTM",
    inputs: layer(4, 2, 1, 2, 2).slice(0, 3),
    attributes: {
      hidden_size: int(2),
      input_forget: int(1),
      clip: float(0.4),
      activations: activations("Sigmoid", "Softsign", "Tanh"),
    },
    outputs: 2,
    unwanted: [0],
    differentiate: [0, 1, 2],
    step: 1e-3,
  },
  // sequences that end before the last step, as packed ones do
  {
    op: "LSTM",
    inputs: [
      ...layer(4, 3, 3, 2, 2, 2),
      { dtype: "int32", shape: [3], values: [2, 3, 1] },
      tensor([2, 3, 2]),
      tensor([2, 3, 2]),
    ],
    attributes: { hidden_size: int(2), direction: text("bidirectional") },
    outputs: 3,
    differentiate: [0, 1, 2, 3, 5, 6],
  },
  {
    op: "LSTM",
    inputs: [...layer(4, 3, 2, 1, 2), lengths(1, 3)],
    attributes: { hidden_size: int(2), direction: text("reverse") },
    outputs: 3,
    differentiate: [0, 1, 2, 3],
  },
  {
    op: "GRU",
    inputs: [...layer(3, 3, 2, 1, 2), { dtype: "int32", shape: [2], values: [1, 3] }],
    attributes: { hidden_size: int(2) },
    outputs: 2,
    differentiate: [0, 1, 2, 3],
  },
  {
    op: "GRU",
    inputs: layer(3, 3, 2, 3, 2),
    attributes: { hidden_size: int(2) },
    outputs: 2,
    differentiate: [0, 1, 2, 3],
  },
  {
    op: "GRU",
    inputs: layer(3, 3, 2, 3, 2),
    attributes: { hidden_size: int(2), linear_before_reset: int(1) },
    outputs: 2,
    differentiate: [0, 1, 2, 3],
  },
  {
    op: "GRU",
    inputs: [...layer(3, 2, 3, 1, 2, 2), lengths(2, 2, 2), tensor([2, 3, 2])],
    attributes: { hidden_size: int(2), linear_before_reset: int(1), direction: text("bidirectional") },
    outputs: 2,
    differentiate: [0, 1, 2, 3, 5],
  },
  {
    op: "GRU",
    inputs: [...layer(3, 2, 1, 2, 3).slice(0, 3), undefined, undefined, tensor([1, 1, 3])],
    attributes: {
      hidden_size: int(3),
      direction: text("reverse"),
      activations: activations("HardSigmoid", "ScaledTanh"),
      activation_alpha: floats(0.3, 1.2),
      activation_beta: floats(0.4, 0.7),
    },
    outputs: 2,
    unwanted: [0],
    differentiate: [0, 1, 2, 5],
  },
];
