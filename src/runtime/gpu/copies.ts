import { tensorBytes } from "../../graph/graph.js";
import { type NodeContext, type OwnNode, typeIn } from "./context.js";
import { onDevice, toDevice, toHost } from "./cuda.js";

/** The tensor of which others are parts: rows of them, `pitch` bytes apart. */
interface Whole {
  readonly whole: string;
  readonly rows: number;
  readonly pitch: number;
  /** Whether the parts are copied into it, or out of it. */
  readonly joins: boolean;
}

/** Copies between one tensor and parts of it along an axis: contiguous rows of `width` bytes of each part. */
export function copiedParts(
  context: NodeContext,
  { whole, rows, pitch, joins }: Whole,
  parts: readonly { readonly name: string; readonly width: number }[],
): () => void {
  let start = 0;
  const pieces = parts.map(({ name, width }) => {
    const piece = { at: context.address(name), within: context.address(whole) + BigInt(start), width };
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
