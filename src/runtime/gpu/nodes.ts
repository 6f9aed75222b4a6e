import type { Graph, Node } from "../../graph/graph.js";
import { opOf } from "../../ops/index.js";
import { attention, attentionGradient } from "./attention.js";
import { batchStatistics } from "./batch-norm.js";
import {
  averagePool,
  dropout,
  fusedNode,
  maxPool,
  maxPoolGradient,
  randomNumbers,
  reduction,
  scatterRows,
  turnedImage,
} from "./compiled.js";
import type { Means, NodeContext, OwnNode } from "./context.js";
import { convolution } from "./convolution.js";
import { awaitsCopy, beginsCopy } from "./copies.js";
import { concat, pad, split } from "./movement.js";

/** Nodes that run without a kernel of ONNX Runtime. */
const own: Readonly<Record<string, OwnNode>> = {
  ":Conv": convolution,
  ":ConvTranspose": convolution,
  "mutwo:ConvFilterGradient": convolution,
  "mutwo:Attention": attention,
  "mutwo:AttentionGradient": attentionGradient,
  "mutwo:BatchNormalizationStatistics": batchStatistics,
  "mutwo:BatchNormalizationApply": fusedNode,
  "mutwo:BatchNormalizationGradientSums": fusedNode,
  "mutwo:BatchNormalizationGradientApply": fusedNode,
  "mutwo:Fused": fusedNode,
  ":MaxPool": maxPool,
  ":AveragePool": averagePool,
  "mutwo:MaxPoolGradient": maxPoolGradient,
  ":Transpose": turnedImage,
  ":Dropout": dropout,
  ":RandomNormal": randomNumbers,
  ":RandomNormalLike": randomNumbers,
  ":RandomUniform": randomNumbers,
  ":RandomUniformLike": randomNumbers,
  "mutwo:SwapOut": beginsCopy("out"),
  "mutwo:SwapOutWait": awaitsCopy,
  "mutwo:SwapIn": beginsCopy("in"),
  "mutwo:SwapInWait": awaitsCopy,
  ":ReduceSum": reduction,
  ":ReduceMean": reduction,
  "mutwo:ReduceSum": reduction,
  ":ScatterND": scatterRows,
  ":Concat": concat,
  ":Split": split,
  ":Pad": pad,
};

/** How such a node runs; the op for channels last is one with the op that it was made of. */
function ownOf(node: Node): OwnNode | undefined {
  const { domain, op } = opOf(node).channelsFirst ?? node;
  return own[`${domain}:${op}`];
}

/** Whether a node runs without a kernel of ONNX Runtime. */
export const runsOwn = (node: Node, graph: Pick<Graph, "tensors">, means: Means): boolean =>
  ownOf(node)?.fits(node, graph, means) ?? false;

/** What runs such a node; undefined for others. */
export function prepareOwn(node: Node, context: NodeContext): (() => void) | undefined {
  return runsOwn(node, context.graph, context) ? ownOf(node)?.prepare(node, context) : undefined;
}
