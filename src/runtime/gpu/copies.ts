import { bytesPerElement, elementCount, type Node, tensorBytes } from "../../graph/graph.js";
import type { Pointer } from "../ort-api.js";
import { alignmentOf, type NodeContext, number, type OwnNode, typeIn } from "./context.js";
import { onDevice, toDevice, toHost } from "./cuda.js";
import { copyRowsSource, type Rows } from "./source/copy-rows.js";

/** Rows that are shorter, and more, are copied by a kernel: the driver's copy is made for long ones. */
const shortRowBytes = 4096;

const manyRows = 1024;

/** Copies rows from one address and distance to another. */
function rowCopy(context: NodeContext, from: Pointer, to: Pointer, rows: Rows): () => void {
  const { count, width, fromPitch, toPitch } = rows;
  const { cuda, stream } = context;
  if (!context.compiles || width >= shortRowBytes || count < manyRows)
    return () => cuda.copyRows(to, toPitch, from, fromPitch, width, count, stream);
  const source = copyRowsSource(rows, alignmentOf([from, to]), cuda.multiprocessors);
  return context.launcher(source, () => [from, to]);
}

/** Copies between one tensor and parts of it along an axis: contiguous rows of each part. */
function parts(node: Node, context: NodeContext, whole: string, names: readonly string[], joins: boolean): () => void {
  const { shape, dtype } = typeIn(context.graph, whole);
  const given = number(node, "axis", 0);
  const axis = given < 0 ? given + shape.length : given;
  const rows = elementCount(shape.slice(0, axis));
  const inner = elementCount(shape.slice(axis + 1)) * bytesPerElement(dtype);
  const pitch = (shape[axis] as number) * inner;
  let start = 0;
  const { cuda, stream } = context;
  const copies = names.flatMap((name): (() => void)[] => {
    const width = name ? (typeIn(context.graph, name).shape[axis] as number) * inner : 0;
    const within = context.address(whole) + BigInt(start);
    start += width;
    if (!width || !rows) return [];
    const at = context.address(name);
    if (rows === 1) {
      const [to, from] = joins ? [within, at] : [at, within];
      return [() => cuda.copy(to, from, width, onDevice, stream)];
    }
    const [from, to, fromPitch, toPitch] = joins ? [at, within, width, pitch] : [within, at, pitch, width];
    return [rowCopy(context, from, to, { count: rows, width, fromPitch, toPitch })];
  });
  return () => {
    for (const copy of copies) copy();
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
    return () => {
      cuda.record(begin, stream);
      cuda.waitFor(copyStream, begin);
      cuda.copy(target, source, bytes, kind, copyStream);
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
