import { attentionAttributes } from "../../src/ops/fused-attention.js";
import { type Sample, tensor } from "./sample.js";

const plain = attentionAttributes({
  scale: 0.5,
  ahead: undefined,
  zeroHidden: false,
  positionAxes: [2, 2, 2, 2],
});

/** Each query sees the keys up to the one behind its own place; heads stand behind positions, and share keys in twos. */
const causal = attentionAttributes({
  scale: 0.7,
  ahead: 1,
  zeroHidden: true,
  positionAxes: [1, 1, 1, 1],
});

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
  { op: "mutwo:AttentionGradient", inputs: [q, q, k, k, q, statistics], attributes: plain, outputs: 3 },
  {
    op: "mutwo:AttentionGradient",
    inputs: [q, q, k, k, q, statistics, tensor([2, 1, 1, 5])],
    attributes: plain,
    outputs: 3,
    unwanted: [1],
  },
];
