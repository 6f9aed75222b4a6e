import { bytesPerElement, elementCount, type Graph, type Node } from "../../graph/graph.js";
import { bytesOf } from "../../graph/values.js";
import { callOf } from "../../ops/call.js";
import { normalizeAxes } from "../../ops/shapes.js";
import { type NodeContext, number, type OwnNode, typeIn } from "./context.js";
import { copiedParts } from "./copies.js";
import { type Padding, padSource, partsSource } from "./source/place.js";

/** Parts that one kernel takes: each is a parameter. */
const mostParts = 128;

/** Copies between a tensor and the parts that lie side by side in it along an axis, in one kernel where there is one. */
function parts(node: Node, context: NodeContext, whole: string, names: readonly string[], joins: boolean): () => void {
  const { shape, dtype } = typeIn(context.graph, whole);
  const given = number(node, "axis", 0);
  const axis = given < 0 ? given + shape.length : given;
  const rows = elementCount(shape.slice(0, axis));
  const inner = elementCount(shape.slice(axis + 1)) * bytesPerElement(dtype);
  const widthOf = (name: string): number => (typeIn(context.graph, name).shape[axis] as number) * inner;
  const filled = names.filter((name) => widthOf(name) > 0);
  if (!context.compiles || filled.length > mostParts || rows === 0 || filled.length === 0)
    return copiedParts(
      context,
      { whole, rows, pitch: (shape[axis] as number) * inner, joins },
      names.map((name) => ({ name, width: widthOf(name) })),
    );
  const operands = (joins ? [...filled, whole] : [whole, ...filled]).map(context.address);
  const source = partsSource(rows, filled.map(widthOf), joins, operands, context.cuda.multiprocessors);
  return context.launcher(source, () => operands);
}

/** Concat: a kernel called by itself sees only one of the inputs that an op takes in any number. */
export const concat: OwnNode = {
  fits: () => true,
  prepare: (node, context) => parts(node, context, node.outputs[0] as string, node.inputs, true),
};

/** Split: ONNX Runtime's passes addresses through host memory that a captured graph would read after it is freed. */
export const split: OwnNode = {
  fits: (node) => node.outputs.every((name) => name !== ""),
  prepare: (node, context) => parts(node, context, node.inputs[0] as string, node.outputs, false),
};

/** Padding with a constant: ONNX Runtime's kernel takes 50 times as long where more than two axes are left. */
export const pad: OwnNode = {
  fits: (node, graph, { compiles }) => compiles && paddingOf(node, graph) !== undefined,
  prepare(node, context) {
    const padding = paddingOf(node, context.graph) as Padding;
    const operands = [node.inputs[0], node.outputs[0]].map((name) => context.address(name as string));
    return context.launcher(padSource(padding, operands, context.cuda.multiprocessors), () => operands);
  },
};

/** What a Pad does, if that is known and something is padded with a constant. */
function paddingOf(node: Node, graph: Pick<Graph, "tensors">): Padding | undefined {
  const call = callOf(node, graph.tensors);
  const { shape, dtype } = call.input(0);
  const pads = call.constant(1);
  const value = call.inputs[2] ? call.constant(2) : [0];
  const axes = call.inputs[3] ? call.constant(3) : shape.map((_, axis) => axis);
  if (call.text("mode", "constant") !== "constant" || !pads || !axes || value?.length !== 1) return undefined;
  if (elementCount(shape) === 0 || elementCount(typeIn(graph, node.outputs[0]).shape) === 0) return undefined;
  const places = normalizeAxes(axes, shape.length);
  const side = (from: number): number[] =>
    shape.map((_, axis) => (places.includes(axis) ? (pads[from + places.indexOf(axis)] as number) : 0));
  return { shape, begin: side(0), end: side(places.length), filler: bytesOf(dtype, value) };
}
