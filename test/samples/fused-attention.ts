import { attentionAttributes, viewAlone } from "../../src/ops/attention-form.js";
import { type Sample, tensor } from "./sample.js";

const alone = [viewAlone([2, 3, 4, 8], 2), viewAlone([2, 3, 5, 8], 2), viewAlone([2, 3, 5, 8], 2)] as const;

const plain = attentionAttributes({
  scale: 0.5,
  ahead: undefined,
  zeroHidden: false,
  sizes: { batch: 2, heads: 3, kvHeads: 3, queries: 4, keys: 5, width: 8 },
  views: alone,
  positionAxis: 2,
});

/** Each query sees the keys up to the one behind its own place; heads stand behind positions, and share keys in twos. */
const causal = attentionAttributes({
  scale: 0.7,
  ahead: 1,
  zeroHidden: true,
  sizes: { batch: 2, heads: 4, kvHeads: 2, queries: 3, keys: 4, width: 8 },
  views: [viewAlone([2, 4, 3, 8], 1), viewAlone([2, 2, 4, 8], 1), viewAlone([2, 2, 4, 8], 1)],
  positionAxis: 1,
});

/** Q, K and V of 4, 2 and 2 heads side by side behind each position, positions before batch: as [5, 2, 8, 8]. */
const packed = attentionAttributes({
  scale: 0.4,
  ahead: 0,
  zeroHidden: false,
  sizes: { batch: 2, heads: 4, kvHeads: 2, queries: 5, keys: 5, width: 8 },
  views: [
    { offset: 0, strides: [64, 8, 128] },
    { offset: 32, strides: [64, 8, 128] },
    { offset: 48, strides: [64, 8, 128] },
  ],
  positionAxis: 0,
});

const whole = tensor([5, 2, 64]);

const same = { ...whole, same: 0 };

const [q, k] = [tensor([2, 3, 4, 8]), tensor([2, 3, 5, 8])];

const [qTurned, kTurned] = [tensor([2, 3, 4, 8]), tensor([2, 4, 2, 8])];

const statistics = tensor([2, 2, 3, 4], [0.1, 0.3]);

/** Attention as one node, whose kernels only GPUs have: its body runs here. */
export const fusedAttentions: readonly Sample[] = [
  { op: "mutwo:Attention", inputs: [q, k, k], attributes: plain, outputs: 2, differentiate: [0, 1, 2], through: [0] },
  {
    op: "mutwo:Attention",
    inputs: [qTurned, kTurned, kTurned, tensor([1, 4, 1, 4])],
    attributes: causal,
    outputs: 2,
    differentiate: [0, 1, 2],
    through: [0],
  },
  {
    op: "mutwo:Attention",
    inputs: [whole, same, same],
    attributes: packed,
    outputs: 2,
    differentiate: [0],
    through: [0],
  },
  { op: "mutwo:AttentionGradient", inputs: [q, q, k, k, q, statistics], attributes: plain, outputs: 3 },
  {
    op: "mutwo:AttentionGradient",
    inputs: [q, q, k, k, q, statistics, tensor([2, 1, 1, 5])],
    attributes: plain,
    outputs: 3,
    unwanted: [1],
  },
];
