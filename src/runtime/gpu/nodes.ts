import type { Graph, Node } from "../../graph/graph.js";
import { attention, attentionGradient } from "./attention.js";
import { batchStatistics } from "./batch-norm.js";
import { dropout, fusedNode, maxPool, maxPoolGradient, randomNumbers, reduction, scatterRows } from "./compiled.js";
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
  "mutwo:MaxPoolGradient": maxPoolGradient,
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

/** Whether a node runs without a kernel of ONNX Runtime. */
export const runsOwn = (node: Node, graph: Pick<Graph, "tensors">, means: Means): boolean =>
  own[`${node.domain}:${node.op}`]?.fits(node, graph, means) ?? false;

/** What runs such a node; undefined for others. */
export function prepareOwn(node: Node, context: NodeContext): (() => void) | undefined {
  if (!runsOwn(node, context.graph, context)) return undefined;
  return own[`${node.domain}:${node.op}`]?.prepare(node, context);
}
