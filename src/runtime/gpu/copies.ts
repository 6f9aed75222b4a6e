import { bytesPerElement, elementCount, type Node, tensorBytes } from "../../graph/graph.js";
import { type NodeContext, number, type OwnNode, typeIn } from "./context.js";
import { onDevice, toDevice, toHost } from "./cuda.js";

/** Copies between one tensor and parts of it along an axis: contiguous rows of each part. */
function parts(node: Node, context: NodeContext, whole: string, names: readonly string[], joins: boolean): () => void {
  const { shape, dtype } = typeIn(context.graph, whole);
  const given = number(node, "axis", 0);
  const axis = given < 0 ? given + shape.length : given;
  const rows = elementCount(shape.slice(0, axis));
  const inner = elementCount(shape.slice(axis + 1)) * bytesPerElement(dtype);
  const pitch = (shape[axis] as number) * inner;
  let start = 0;
  const pieces = names.map((name) => {
    const width = name ? (typeIn(context.graph, name).shape[axis] as number) * inner : 0;
    const piece = { at: name ? context.address(name) : 0n, within: context.address(whole) + BigInt(start), width };
    start += width;
    return piece;
  });
  const { cuda, stream } = context;
  return () => {
    for (const { at, within, width } of pieces) {
      if (!width || !rows) continue;
      if (rows === 1) cuda.copy(joins ? within : at, joins ? at : within, width, onDevice, stream);
      else if (joins) cuda.copyRows(within, pitch, at, width, width, rows, stream);
      else cuda.copyRows(at, width, within, pitch, width, rows, stream);
    }
  };
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

/** Begins a copy between device and host, in a stream of its own, when all that was launched before is done. */
export const beginsCopy = (direction: "out" | "in"): OwnNode => ({
  fits: () => true,
  prepare(node, context) {
    const { cuda, stream, copyStreams } = context;
    const [from, to] = [node.inputs[0] as string, node.outputs[0] as string];
    const [source, target] = [context.address(from), context.address(to)];
    const bytes = tensorBytes(typeIn(context.graph, from));
    const [begin, done] = [context.event(`${to} begins`), context.event(`${to} is done`)];
    const copyStream = copyStreams[direction];
    const kind = direction === "out" ? toHost : toDevice;
    const isCopied = !context.overlaid?.has(direction === "out" ? to : from);
    return () => {
      cuda.record(begin, stream);
      cuda.waitFor(copyStream, begin);
      if (isCopied) cuda.copy(target, source, bytes, kind, copyStream);
      cuda.record(done, copyStream);
    };
  },
});

/** What comes after waits for the copy that input 0 is the result of. */
export const awaitsCopy: OwnNode = {
  fits: () => true,
  prepare(node, { cuda, stream, event }) {
    const done = event(`${node.inputs[0]} is done`);
    return () => cuda.waitFor(stream, done);
  },
};
