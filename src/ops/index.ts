import type { Node } from "../graph/graph.js";
import { activation } from "./activation.js";
import { attention } from "./attention.js";
import { batchNormalization } from "./batchnorm.js";
import { batchNormalizationParts } from "./batchnorm-parts.js";
import { biasedActivation } from "./biased.js";
import { bitwise } from "./bitwise.js";
import { blocked } from "./blocked.js";
import { channelNormalization } from "./channel-normalization.js";
import { clipping } from "./clip.js";
import { contribAttention } from "./contrib-attention.js";
import { contribFused } from "./contrib-fused.js";
import { contribNormalization } from "./contrib-normalization.js";
import { convolution } from "./convolution.js";
import { criterion } from "./criterion.js";
import { einsum } from "./einsum.js";
import { elementwise } from "./elementwise.js";
import { fourier } from "./fourier.js";
import { fused } from "./fused.js";
import { fusedAttention } from "./fused-attention.js";
import { groupQuery } from "./group-query.js";
import { indexing } from "./indexing.js";
import { matrix } from "./matrix.js";
import { movement } from "./movement.js";
import { normalization } from "./normalization.js";
import type { Op, OpTable } from "./op.js";
import { padding } from "./pad.js";
import { pooling } from "./pooling.js";
import { randomOps } from "./random.js";
import { recurrent } from "./recurrent.js";
import { reduction } from "./reduction.js";
import { regions } from "./regions.js";
import { resizing } from "./resize.js";
import { rotary } from "./rotary.js";
import { sampling } from "./sampling.js";
import { selection } from "./selection.js";
import { swapping } from "./swap.js";
import { unsupported } from "./unsupported.js";
import { variadicOps } from "./variadic.js";
import { views } from "./views.js";
import { windowFunctions } from "./window-functions.js";
import { windows } from "./windowed.js";

/** Joins the families' tables; throws if two of them know the same op. */
export function joinTables(...tables: readonly OpTable[]): ReadonlyMap<string, Op> {
  const joined = new Map<string, Op>();
  for (const table of tables)
    for (const [name, op] of Object.entries(table)) {
      if (joined.has(name)) throw new Error(`op declared twice: ${name}`);
      joined.set(name, op);
    }
  return joined;
}

/** Every op that mutwo knows: "Op" for the standard ONNX domain, "domain:Op" for others. */
export const ops: ReadonlyMap<string, Op> = joinTables(
  elementwise,
  clipping,
  activation,
  biasedActivation,
  variadicOps,
  reduction,
  recurrent,
  normalization,
  channelNormalization,
  batchNormalization,
  batchNormalizationParts,
  randomOps,
  matrix,
  einsum,
  convolution,
  blocked,
  pooling,
  views,
  movement,
  padding,
  resizing,
  indexing,
  selection,
  windowFunctions,
  fourier,
  bitwise,
  windows,
  sampling,
  regions,
  criterion,
  attention,
  rotary,
  contribAttention,
  groupQuery,
  fusedAttention,
  contribNormalization,
  contribFused,
  fused(opOf),
  swapping,
);

/** Inputs whose storage that output of a node may overwrite. */
export function inPlaceSlots(node: Node, output: number): readonly number[] {
  const { inPlace, inPlaceOf } = opOf(node);
  if (inPlaceOf) return inPlaceOf(node)[output] ?? [];
  return output === 0 ? inPlace : [];
}

/** The record of a node's op. Throws `unknown op: <op> (node <name>)`, or `unsupported: …` where it is known why. */
export function opOf(node: Pick<Node, "domain" | "op" | "name">): Op {
  const key = node.domain ? `${node.domain}:${node.op}` : node.op;
  const op = ops.get(key);
  if (!op) throw unsupported(node);
  return op;
}
