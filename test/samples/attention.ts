import { float, int } from "../../src/graph/graph.js";
import { type Sample, type SampleInput, tensor } from "./sample.js";

const qkv = (batch: number, heads: number, queries: number, keys = queries, width = 4): SampleInput[] => [
  tensor([batch, heads, queries, width]),
  tensor([batch, heads, keys, width]),
  tensor([batch, heads, keys, width]),
];

const bool = (shape: readonly number[], ...values: readonly number[]): SampleInput => ({
  dtype: "bool",
  shape,
  values,
});

const whole = (shape: readonly number[], ...values: readonly number[]): SampleInput => ({
  dtype: "int64",
  shape,
  values,
});

export const attention: readonly Sample[] = [
  { op: "Attention", inputs: qkv(2, 2, 3), opsets: [23], differentiate: [0, 1, 2] },
  {
    op: "Attention",
    inputs: qkv(1, 2, 3),
    attributes: { is_causal: int(1), scale: float(0.7) },
    opsets: [23],
    differentiate: [0, 1, 2],
  },
  // four heads of queries over two of keys and values, in three axes; a mask that is added
  {
    op: "Attention",
    inputs: [tensor([2, 3, 8]), tensor([2, 5, 4]), tensor([2, 5, 6]), tensor([3, 5])],
    attributes: { q_num_heads: int(4), kv_num_heads: int(2) },
    opsets: [23],
    differentiate: [0, 1, 2, 3],
  },
  {
    op: "Attention",
    inputs: [...qkv(2, 1, 2, 3, 2), bool([2, 1, 2, 3], 1, 0, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1)],
    attributes: { softcap: float(0.5) },
    opsets: [23],
    differentiate: [0, 1, 2],
  },
  {
    op: "Attention",
    inputs: [...qkv(1, 2, 2), bool([2, 2], 1, 0, 1, 1)],
    attributes: { qk_matmul_output_mode: int(1), softcap: float(0.3) },
    outputs: 4,
    through: [0],
    opsets: [23],
    differentiate: [0, 1, 2],
  },
  {
    op: "Attention",
    inputs: [...qkv(1, 2, 2), tensor([2, 2])],
    attributes: { qk_matmul_output_mode: int(3) },
    outputs: 4,
    through: [0, 3],
    opsets: [23],
    differentiate: [0, 1, 2, 3],
  },
  {
    op: "RotaryEmbedding",
    inputs: [tensor([2, 3, 4, 6]), tensor([5, 3]), tensor([5, 3]), whole([2, 4], 0, 1, 2, 3, 4, 3, 1, 1)],
    opsets: [23],
    differentiate: [0],
  },
  {
    op: "RotaryEmbedding",
    inputs: [tensor([2, 3, 12]), tensor([2, 3, 2]), tensor([2, 3, 2])],
    attributes: { interleaved: int(1), num_heads: int(2), rotary_embedding_dim: int(4) },
    opsets: [23],
    differentiate: [0],
  },
  {
    op: "com.microsoft:RotaryEmbedding",
    inputs: [tensor([2, 3, 12]), whole([1], 2), tensor([6, 3]), tensor([6, 3])],
    differentiate: [0],
  },
  {
    op: "com.microsoft:RotaryEmbedding",
    inputs: [tensor([1, 2, 3, 4]), whole([1, 3], 2, 0, 1), tensor([6, 2]), tensor([6, 2])],
    attributes: { interleaved: int(1) },
    differentiate: [0],
  },
  // keys and values of an earlier step, and rows that see nothing
  {
    op: "Attention",
    inputs: [...qkv(1, 2, 2), undefined, tensor([1, 2, 3, 4]), tensor([1, 2, 3, 4])],
    attributes: { is_causal: int(1) },
    outputs: 3,
    opsets: [23],
    differentiate: [0, 1, 2, 4, 5],
  },
  {
    op: "Attention",
    inputs: [tensor([2, 2, 4]), tensor([2, 3, 4]), tensor([2, 3, 4]), bool([2, 3], 0, 0, 0, 1, 1, 0)],
    attributes: { q_num_heads: int(2), kv_num_heads: int(2) },
    opsets: [23],
    differentiate: [0, 1, 2],
  },
  {
    op: "Attention",
    inputs: [...qkv(1, 1, 2), { dtype: "float32", shape: [2, 2], values: [0, -Infinity, -Infinity, -Infinity] }],
    opsets: [24],
    differentiate: [0, 1, 2],
  },
  {
    op: "Attention",
    inputs: [...qkv(1, 1, 2), { ...bool([2, 2], 0, 1, 1, 1), constant: true }],
    attributes: { is_causal: int(1) },
    opsets: [24],
    differentiate: [0, 1, 2],
  },
  {
    op: "Attention",
    inputs: [...qkv(1, 1, 2), { ...bool([2, 2], 0, 1, 1, 0), constant: true }],
    opsets: [24],
    differentiate: [0, 1, 2],
  },
  {
    op: "Attention",
    inputs: [...qkv(2, 1, 2, 3), undefined, undefined, undefined, whole([2], 1, 3)],
    opsets: [24],
    differentiate: [0, 1, 2],
  },
  {
    op: "Attention",
    inputs: [...qkv(2, 1, 2, 3), undefined, undefined, undefined, whole([2], 1, 3)],
    attributes: { is_causal: int(1) },
    opsets: [24],
    differentiate: [0, 1, 2],
  },
  // a mask that ends before the keys: the rest is hidden; no kernel takes it yet
  {
    op: "Attention",
    inputs: [...qkv(1, 1, 2, 3), tensor([2, 2])],
    opsets: [24],
    differentiate: [0, 1, 2, 3],
    elsewhere: true,
  },
  {
    op: "Attention",
    inputs: [...qkv(1, 1, 2, 3), bool([2, 2], 1, 0, 1, 1)],
    opsets: [24],
    differentiate: [0, 1, 2],
    elsewhere: true,
  },
];
