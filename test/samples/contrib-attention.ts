import { float, int, ints } from "../../src/graph/graph.js";
import { type Sample, type SampleInput, tensor } from "./sample.js";

const int32 = (shape: readonly number[], ...values: readonly number[]): SampleInput => ({
  dtype: "int32",
  shape,
  values,
});

const fixed = (...values: readonly number[]): SampleInput => ({ ...int32([values.length], ...values), constant: true });

const multiHead = (
  inputs: readonly (SampleInput | undefined)[],
  differentiate: readonly number[],
  more: Partial<Sample> = {},
): Sample => ({
  op: "com.microsoft:MultiHeadAttention",
  inputs,
  differentiate,
  ...more,
  attributes: { num_heads: int(2), ...more.attributes },
});

const projected = (
  inputs: readonly (SampleInput | undefined)[],
  differentiate: readonly number[] = [0, 1, 2],
  more: Partial<Sample> = {},
): Sample => ({
  op: "com.microsoft:Attention",
  inputs: [tensor([2, 3, 4]), tensor([4, 12]), tensor([12]), ...inputs],
  differentiate,
  ...more,
  attributes: { num_heads: int(2), ...more.attributes },
});

const grouped = (
  inputs: readonly (SampleInput | undefined)[],
  differentiate: readonly number[],
  more: Partial<Sample> = {},
): Sample => ({
  op: "com.microsoft:GroupQueryAttention",
  inputs,
  differentiate,
  ...more,
  attributes: { num_heads: int(2), kv_num_heads: int(1), ...more.attributes },
});

/** Queries of two heads over one of keys and values, of 8 (16: rotated) elements. */
const qkv = (batch: number, positions: number, width = 8): SampleInput[] => [
  tensor([batch, positions, 2 * width]),
  tensor([batch, positions, width]),
  tensor([batch, positions, width]),
];

const none = undefined;

const padded = int32([2, 4], 1, 1, 0, 1, 0, 0, 0, 0);

export const contribAttention: readonly Sample[] = [
  multiHead([tensor([2, 3, 8]), tensor([2, 4, 8]), tensor([2, 4, 8]), tensor([24])], [0, 1, 2, 3]),
  multiHead(
    [
      tensor([2, 3, 4]),
      tensor([2, 3, 4]),
      tensor([2, 3, 6]),
      none,
      int32([2, 3], 1, 1, 0, 1, 1, 1),
      tensor([1, 2, 3, 3]),
    ],
    [0, 1, 2, 5],
    { attributes: { scale: float(0.4), unidirectional: int(1) } },
  ),
  // masks: numbers of keys, those of packing, one for each query; a filter that hides little; a row hidden as a whole
  multiHead([tensor([2, 3, 4]), tensor([2, 4, 4]), tensor([2, 4, 4]), none, int32([2], 2, 4)], [0, 1, 2]),
  multiHead(
    [tensor([2, 3, 4]), tensor([2, 4, 4]), tensor([2, 4, 4]), none, int32([8], 3, 1, 0, 3, 6, 0, 4, 8)],
    [0, 1, 2],
  ),
  multiHead([tensor([1, 2, 4]), tensor([1, 2, 4]), tensor([1, 2, 4]), none, int32([1, 2, 2], 1, 0, -1, 2)], [0, 1, 2]),
  multiHead([tensor([2, 3, 4]), tensor([2, 4, 4]), tensor([2, 4, 4]), none, padded], [0, 1, 2], {
    attributes: { mask_filter_value: float(-0.7) },
  }),
  multiHead([tensor([2, 3, 4]), tensor([2, 4, 4]), tensor([2, 4, 4]), none, padded], []),
  // more keys than queries, in one direction
  multiHead([tensor([1, 3, 4]), tensor([1, 5, 4]), tensor([1, 5, 4])], [0, 1, 2], {
    attributes: { unidirectional: int(1) },
  }),
  // keys and values of an earlier step
  multiHead(
    [
      tensor([2, 2, 4]),
      tensor([2, 2, 4]),
      tensor([2, 2, 4]),
      tensor([12]),
      int32([2, 5], 1, 1, 0, 1, 1, 0, 1, 1, 1, 1),
      tensor([2, 1, 2, 5]),
      tensor([2, 2, 3, 2]),
      tensor([2, 2, 3, 2]),
    ],
    [0, 1, 2, 3, 5, 6, 7],
    { outputs: 3, attributes: { unidirectional: int(1) } },
  ),
  multiHead(
    [
      tensor([1, 2, 4]),
      tensor([1, 2, 4]),
      tensor([1, 2, 4]),
      none,
      none,
      none,
      tensor([1, 2, 1, 2]),
      tensor([1, 2, 1, 2]),
    ],
    [0, 1, 2, 6, 7],
    { outputs: 4, through: [0, 3] },
  ),
  // keys and values in heads already: the bias is that of the queries alone
  multiHead([tensor([2, 3, 4]), tensor([2, 2, 4, 2]), tensor([2, 2, 4, 2]), tensor([12])], [0, 1, 2]),
  // packed
  multiHead([tensor([2, 3, 2, 3, 4]), none, none, tensor([24])], [0, 3], { elsewhere: true, outputs: 3 }),
  multiHead([tensor([2, 3, 8]), tensor([2, 4, 2, 2, 4])], [0, 1], { elsewhere: true }),

  projected([]),
  projected([], [0, 1, 2], { attributes: { unidirectional: int(1), scale: float(0.3) }, outputs: 2 }),
  projected([int32([2, 1], 0, 1)]),
  projected([int32([2], 2, 0)], []),
  projected([int32([2], 2, 0)], [0, 1, 2], { attributes: { mask_filter_value: float(-50) } }),
  projected([int32([4], 3, 3, 1, 0)]),
  projected([int32([8], 2, 3, 0, 2, 5, 0, 2, 5)]),
  projected([int32([2, 3], 1, 1, 0, 0, 0, 0)], [0, 1, 2], {
    attributes: { unidirectional: int(1), mask_filter_value: float(-50) },
  }),
  projected([int32([2, 3, 3], ...Array.from({ length: 18 }, (_, i) => (i % 3 ? 1 : 0)))]),
  projected([none, none, tensor([1, 2, 3, 3])], [0, 1, 2, 5]),
  projected([padded, tensor([2, 2, 2, 1, 2])], [0, 1, 2, 4], {
    outputs: 2,
    attributes: { unidirectional: int(1), mask_filter_value: float(-50) },
  }),
  projected([int32([4], 3, 4, 1, 0), tensor([2, 2, 2, 1, 2])], [0, 1, 2, 4], { outputs: 2 }),
  {
    op: "com.microsoft:Attention",
    inputs: [tensor([1, 3, 4]), tensor([4, 10]), tensor([10])],
    attributes: { num_heads: int(2), qkv_hidden_sizes: ints([4, 4, 2]) },
    differentiate: [0, 1, 2],
  },
  // ONNX Runtime's kernel crashes without a bias
  {
    op: "com.microsoft:Attention",
    inputs: [tensor([1, 3, 4]), tensor([4, 12])],
    attributes: { num_heads: int(1) },
    differentiate: [0, 1],
    elsewhere: true,
  },

  grouped([...qkv(2, 3), none, none, fixed(2, 2), fixed(3)], [0, 1, 2], { outputs: 3 }),
  grouped([...qkv(2, 3), none, none, int32([2], 1, 2), fixed(3)], [0, 1, 2], {
    attributes: { softcap: float(0.5), scale: float(0.7) },
  }),
  grouped([...qkv(1, 4), none, none, fixed(3), fixed(4)], [0, 1, 2], { attributes: { local_window_size: int(2) } }),
  grouped([...qkv(1, 3), none, none, fixed(2), fixed(3)], [0, 1, 2], { attributes: { smooth_softmax: int(1) } }),
  grouped(
    [...qkv(1, 3), none, none, fixed(2), fixed(3), none, none, none, tensor([1, 1, 3, 3]), tensor([2])],
    [0, 1, 2, 10, 11],
    { attributes: { softcap: float(0.8), qk_output: int(1) }, outputs: 4, through: [0, 3] },
  ),
  grouped([...qkv(1, 2), none, none, int32([1], 1), int32([1], 2)], [0, 1, 2], {
    attributes: { qk_output: int(2) },
    outputs: 4,
  }),
  // packed, and every head with keys of its own
  grouped([tensor([1, 2, 32]), none, none, none, none, fixed(1), fixed(2)], [0]),
  grouped([tensor([1, 2, 48]), none, none, none, none, fixed(1), fixed(2)], [0], {
    attributes: { kv_num_heads: int(2) },
  }),
  // behind the keys of an earlier step, which fill their buffer or not, or of none
  grouped([...qkv(1, 2), tensor([1, 1, 3, 8]), tensor([1, 1, 3, 8]), fixed(4), fixed(5)], [0, 1, 2, 3, 4], {
    outputs: 3,
  }),
  grouped(
    [
      ...qkv(1, 2),
      tensor([1, 1, 6, 8]),
      tensor([1, 1, 6, 8]),
      int32([1], 4),
      fixed(5),
      none,
      none,
      none,
      tensor([1, 2, 2, 5]),
    ],
    [0, 1, 2, 3, 4, 10],
    { outputs: 3, attributes: { local_window_size: int(2) } },
  ),
  grouped([...qkv(2, 1), tensor([2, 1, 3, 8]), tensor([2, 1, 3, 8]), int32([2], 1, 3), fixed(4)], [0, 1, 2, 3, 4], {
    outputs: 3,
  }),
  grouped([...qkv(1, 2), tensor([1, 1, 5, 8]), tensor([1, 1, 5, 8]), fixed(1), fixed(2)], [0, 1, 2], { outputs: 3 }),
  // rotated
  ...[0, 1].map((interleaved) =>
    grouped([...qkv(2, 3, 16), none, none, int32([2], 1, 2), fixed(3), tensor([6, 8]), tensor([6, 8])], [0, 1, 2], {
      attributes: { do_rotary: int(1), rotary_interleaved: int(interleaved) },
      outputs: 3,
    }),
  ),
  grouped(
    [
      ...qkv(1, 2, 32),
      none,
      none,
      fixed(1),
      fixed(2),
      tensor([6, 8]),
      tensor([6, 8]),
      { dtype: "int64", shape: [1, 2], values: [3, 0] },
    ],
    [0, 1, 2],
    { attributes: { do_rotary: int(1) } },
  ),
  grouped(
    [
      ...qkv(1, 2, 16),
      tensor([1, 1, 3, 16]),
      tensor([1, 1, 3, 16]),
      fixed(4),
      fixed(5),
      tensor([6, 8]),
      tensor([6, 8]),
      { dtype: "int64", shape: [1, 2], values: [1, 5] },
    ],
    [0, 1, 2, 3, 4],
    { attributes: { do_rotary: int(1) }, outputs: 3 },
  ),
  grouped(
    [
      tensor([2, 1, 64]),
      none,
      none,
      tensor([2, 1, 3, 16]),
      tensor([2, 1, 3, 16]),
      int32([2], 1, 3),
      fixed(4),
      tensor([6, 8]),
      tensor([6, 8]),
    ],
    [0, 3, 4],
    { attributes: { do_rotary: int(1) }, outputs: 3 },
  ),
  // both directions, and queries and keys that are normalised: of later versions, or of other processors
  grouped([...qkv(2, 3), none, none, int32([2], 1, 2), fixed(3)], [0, 1, 2], {
    attributes: { causal: int(0) },
    elsewhere: true,
  }),
  grouped(
    [
      ...qkv(1, 2),
      none,
      none,
      fixed(1),
      fixed(2),
      ...new Array<undefined>(7).fill(none),
      tensor([8], [0.5, 1.5]),
      tensor([8], [0.5, 1.5]),
    ],
    [0, 1, 2, 14, 15],
    { elsewhere: true },
  ),
];
