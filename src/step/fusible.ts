import { elementCount, type Graph, type Node, tensorOf } from "../graph/graph.js";
import { callOf } from "../ops/call.js";
import { opOf } from "../ops/index.js";
import { normalizeAxes } from "../ops/shapes.js";

/** Rows that are longer are not kept on the chip, but read again from its cache. */
const longestRow = 16384;

/** So many longer rows keep all of a GPU busy; fewer are reduced faster by several blocks each. */
const leastLongRows = 128;

/** Whether rows of that many trailing axes can be gone through one by one. */
export const fitsRows = (shape: readonly number[], reducedAxes: number): boolean => {
  const split = shape.length - reducedAxes;
  return elementCount(shape.slice(split)) <= longestRow || elementCount(shape.slice(0, split)) >= leastLongRows;
};

/**
 * How a node can be a member: each element by itself, one value for each row of that many trailing axes, or sums over all
 * axes but the channel's.
 */
export interface Fusible {
  /** The shape whose elements the node goes over. */
  readonly shape: readonly number[];
  /** Number of trailing axes that a reduction makes one; 0 for a node that has none. */
  readonly reducedAxes: number;
  /** Whether it sums over the elements of each channel. */
  readonly overChannels: boolean;
}

const fusibleTypes = new Set(["float32", "float16", "bfloat16", "float64", "bool", "int32", "int64", "uint8", "int8"]);

/** How a node of a graph may be a member of a fused node; undefined if it may not. */
export function fusible(node: Node, graph: Pick<Graph, "tensors" | "name">): Fusible | undefined {
  const kind = opOf(node).fusible;
  const isOverChannels = kind === "channels";
  if (!kind || (node.outputs.length !== 1 && !isOverChannels) || !node.inputs[0]) return undefined;
  const types = [...node.inputs, ...node.outputs].filter(Boolean).map((name) => tensorOf(graph, name));
  if (types.some(({ dtype, host }) => host || !fusibleTypes.has(dtype))) return undefined;
  if (kind === "elements")
    return { shape: tensorOf(graph, node.outputs[0] as string).shape, reducedAxes: 0, overChannels: false };
  const { shape } = tensorOf(graph, node.inputs[0] as string);
  if (isOverChannels) return { shape, reducedAxes: 0, overChannels: true };
  const call = callOf(node, graph.tensors);
  const given = call.inputs[1] ? call.constant(1) : call.ints("axes");
  const axes = normalizeAxes(given?.length ? given : shape.map((_, axis) => axis), shape.length).sort((a, z) => a - z);
  const count = axes.length;
  const isLast = axes.every((axis, i) => axis === shape.length - count + i);
  const isKept = call.int("keepdims", 1) !== 0 || count === shape.length;
  if (!isLast || !isKept || call.int("keepdims", 1) === 0) return undefined;
  if (!fitsRows(shape, count)) return undefined;
  return { shape, reducedAxes: count, overChannels: false };
}

/** A row value's shape: that of a full one with its trailing axes of size 1. */
export const rowShape = (shape: readonly number[], reducedAxes: number): string =>
  shape.map((n, axis) => (axis < shape.length - reducedAxes ? n : 1)).join();
