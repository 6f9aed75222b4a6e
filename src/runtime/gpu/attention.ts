import { bytesPerElement, type DType, type Graph, type Node, tensorBytes, tensorOf } from "../../graph/graph.js";
import { attentionForm, viewAlone } from "../../ops/attention-form.js";
import { callOf } from "../../ops/call.js";
import { fusedSizes, maskStrides } from "../../ops/fused-attention.js";
import type { Pointer } from "../ort-api.js";
import type { Means, NodeContext, OwnNode } from "./context.js";
import { typeIn } from "./context.js";
import { type AttentionShape, attentionSource, type Pass, tilingOf } from "./source/attention.js";
import { type Kind, kindOf } from "./source/attention-instructions.js";

/** Widest head that the kernels' registers hold. */
const mostWidth = 128;

/** Elements of 16-bit types in the 16 bytes that are copied at a time. */
const widthStep = 8;

/** Kernels count blocks, and rows and columns of scores, in 32 bits. */
const most = 2 ** 31;

/** Positions from which on whole steps were measured to be faster, by element type. */
const shortest: Readonly<Record<string, number>> = { float32: 1024, float16: 16, bfloat16: 16 };

/** An attention's shape for the kernels, and where Q, K and V begin in their tensors, elements. */
interface Placed extends AttentionShape {
  readonly offsets: readonly number[];
}

/** Bytes to the first element of Q, K or V, the `index`th. */
const placeOf = ({ offsets }: Placed, dtype: DType, index: number): bigint =>
  BigInt((offsets[index] as number) * bytesPerElement(dtype));

/** What the kernels of an attention are made for; Q is input `first`, the mask input `mask`. */
function shapeOf(node: Node, graph: Pick<Graph, "tensors">, first: number, mask: number): Placed {
  const call = callOf(node, graph.tensors);
  const { batch, heads, kvHeads, queries, keys, width } = fusedSizes(call, first);
  const { scale, ahead, zeroHidden, views, positionAxis } = attentionForm(call);
  const [q, k, v] = views;
  const added = call.inputs[mask];
  return {
    offsets: views.map(({ offset }) => offset),
    batch,
    heads,
    kvHeads,
    queries,
    keys,
    width,
    scale,
    ahead,
    zeroHidden,
    mask: added && {
      dtype: added.dtype,
      strides: maskStrides(added.shape) as unknown as readonly [number, number, number, number],
    },
    strides: {
      q: q.strides,
      k: k.strides,
      v: v.strides,
      y: viewAlone([batch, heads, queries, width], positionAxis).strides,
    },
  };
}

/**
 * Whether the kernels are faster than products, masks and softmax one by one, as far as whole steps on an H100 have shown:
 * in TF32 at 1024 positions and more, in 16 bits at all lengths that were tried (16 to 2048), with masks that are the same
 * for all queries. Wide heads in TF32 need a triangle, of which half is left out.
 */
function pays({ queries, keys, width, ahead, mask }: AttentionShape, dtype: DType): boolean {
  const isLong = Math.min(queries, keys) >= (shortest[dtype] ?? Number.POSITIVE_INFINITY);
  const isMaskSmall = mask === undefined || mask.strides[2] === 0;
  return isLong && isMaskSmall && (dtype !== "float32" || width <= 64 || ahead !== undefined);
}

function fits(node: Node, graph: Pick<Graph, "tensors">, means: Means, first: number, mask: number): boolean {
  if (!means.compiles || !means.attends) return false;
  const types = [0, 1, 2].map((i) => typeIn(graph, node.inputs[first + i]).dtype);
  const [dtype] = types as [DType];
  if (!kindOf(dtype, means.tf32) || new Set(types).size > 1) return false;
  const shape = shapeOf(node, graph, first, mask);
  const { width, batch, heads, queries, keys, strides, offsets } = shape;
  const isAligned = [...offsets, ...Object.values(strides).flat()].every((n) => n % widthStep === 0);
  const fitsSizes =
    isAligned && width % widthStep === 0 && width <= mostWidth && batch * heads * Math.max(queries, keys) < most;
  return fitsSizes && batch * heads > 0 && pays(shape, dtype);
}

/** A launch of one of the passes. */
function launch(
  context: NodeContext,
  pass: Pass,
  shape: AttentionShape,
  dtype: DType,
  operands: () => Pointer[],
): () => void {
  const kind = kindOf(dtype, context.tf32) as Kind;
  return context.launcher(attentionSource(pass, kind, shape, tilingOf(pass, kind, shape)), operands);
}

/** softmax(scale·Q·Kᵀ + mask)·V without the scores in memory. */
export const attention: OwnNode = {
  fits: (node, graph, means) => fits(node, graph, means, 0, 3),
  prepare(node, context) {
    const { graph, address } = context;
    const [q, k, v, mask] = node.inputs as [string, string, string, string?];
    const [y, statistics] = node.outputs as [string, string];
    const shape = shapeOf(node, graph, 0, 3);
    const { dtype } = typeIn(graph, q);
    const given = [q, k, v].map((name, i) => address(name) + placeOf(shape, dtype, i));
    const operands = [...given, mask ? address(mask) : 0n, address(y), address(statistics)];
    return launch(context, "forward", shape, dtype, () => operands);
  },
};

/** Its gradient: dQ, then dK and dV. */
export const attentionGradient: OwnNode = {
  fits: (node, graph, means) => fits(node, graph, means, 1, 6),
  prepare(node, context) {
    const { graph, address, workspace } = context;
    const [dy, q, k, v, y, statistics, mask] = node.inputs as [string, string, string, string, string, string, string?];
    const shape = shapeOf(node, graph, 1, 6);
    const { dtype } = typeIn(graph, q);
    const given = [q, k, v].map((name, i) => address(name) + placeOf(shape, dtype, i));
    const [dq = 0n, dk = 0n, dv = 0n] = [q, k, v].map((name, i) => {
      // of operands in one tensor the first names its gradient
      const output = node.outputs[[q, k, v].indexOf(name)];
      return output ? address(output) + placeOf(shape, dtype, i) : 0n;
    });
    const added = mask ? address(mask) : 0n;
    // a number for each row: half of the statistics' size
    const bytes = tensorBytes(tensorOf({ ...graph, name: node.name }, statistics)) / 2;
    let sums: Pointer = 0n;
    const queries = launch(context, "queries", shape, dtype, () => [
      ...given,
      added,
      address(y),
      address(dy),
      address(statistics),
      dq,
      sums,
    ]);
    const isKeyWanted = Boolean(dk || dv);
    const keys = launch(context, "keys", shape, dtype, () => [
      ...given,
      added,
      address(dy),
      address(statistics),
      sums,
      dk,
      dv,
    ]);
    return () => {
      sums = workspace.takeBriefly(bytes);
      try {
        queries();
        if (isKeyWanted) keys();
      } finally {
        workspace.giveBack(sums);
      }
    };
  },
};
