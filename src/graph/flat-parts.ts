import { bytesPerElement, type DType, elementCount, type Graph, producers, type Tensor } from "./graph.js";
import { addTo } from "./lists.js";
import { perObject } from "./memo.js";
import { memberOf } from "./trials.js";

/** A parameter's place in a flat buffer, in elements. */
export interface FlatPart {
  readonly parameter: string;
  readonly begin: number;
  readonly end: number;
}

/** A flat buffer of parameters, which those of their gradients and of optimizer state are cut like. */
interface FlatBuffer {
  readonly name: string;
  readonly dtype: DType;
  readonly count: number;
  /** In order. */
  readonly parts: readonly FlatPart[];
}

/** The flat buffers of parameters of a training step. */
const flatBuffers = perObject((graph: Graph): readonly FlatBuffer[] => {
  const made = producers(graph);
  const parts = new Map<string, FlatPart[]>();
  for (const { name, within, dtype, shape, category } of graph.tensors.values()) {
    if (!within || made.has(name) || category !== "parameter") continue;
    const begin = within.offsetBytes / bytesPerElement(dtype);
    addTo(parts, within.tensor, { parameter: name, begin, end: begin + elementCount(shape) });
  }
  return [...parts].flatMap(([name, list]): FlatBuffer[] => {
    const whole = graph.tensors.get(name);
    if (!whole) return [];
    list.sort((a, z) => a.begin - z.begin);
    return [{ name, dtype: whole.dtype, count: elementCount(whole.shape), parts: list }];
  });
});

/** The same by the member of a joint graph that they are of. */
const buffersByMember = perObject((graph: Graph) => {
  const memberOfName = memberOf(graph);
  const members = new Map<string, FlatBuffer[]>();
  for (const buffer of flatBuffers(graph)) addTo(members, memberOfName(buffer.name), buffer);
  return { memberOfName, members };
});

/** The flat buffers that a tensor or node may be of, by its name: in a joint graph those of its member. */
function buffersFor(graph: Graph, name: string): readonly FlatBuffer[] {
  const { memberOfName, members } = buffersByMember(graph);
  return members.get(memberOfName(name)) ?? [];
}

/** What is never a buffer, though it may be as long as one. */
const other: readonly Tensor["category"][] = ["activation", "input", "constant", "buffer"];

/** The buffer that a vector of its length is cut like: the one it is named after, else one of its type, else any. */
function bufferLike(graph: Graph, { name, dtype, shape, category }: Tensor): FlatBuffer | undefined {
  if (shape.length !== 1 || other.includes(category)) return undefined;
  const fitting = buffersFor(graph, name).filter(({ count }) => count === shape[0]);
  return (
    fitting.find((buffer) => name === buffer.name || name.startsWith(`${buffer.name}.`)) ??
    fitting.find((buffer) => buffer.dtype === dtype) ??
    fitting[0]
  );
}

/** From which element to which (exclusive) of a buffer a tensor reaches that is one or lies in one. */
function extentOf(graph: Graph, tensor: Tensor): { buffer: FlatBuffer; begin: number; end: number } | undefined {
  const whole = tensor.within && graph.tensors.get(tensor.within.tensor);
  const buffer = bufferLike(graph, whole ?? tensor);
  if (!buffer) return undefined;
  const begin = (tensor.within?.offsetBytes ?? 0) / bytesPerElement(tensor.dtype);
  return { buffer, begin, end: begin + elementCount(tensor.shape) };
}

/**
 * The parameters that a tensor of a training step holds values for, an element each: of a flat buffer of parameters, of
 * gradients or of optimizer state, or of a slice of one; `begin` and `end` count from the tensor's first element.
 * Undefined of any other tensor.
 */
export function flatParts(graph: Graph, tensor: Tensor): readonly FlatPart[] | undefined {
  const extent = extentOf(graph, tensor);
  if (!extent) return undefined;
  const { buffer, begin, end } = extent;
  const found: FlatPart[] = [];
  for (let i = firstReaching(buffer.parts, begin); i < buffer.parts.length; i++) {
    const part = buffer.parts[i] as FlatPart;
    if (part.begin >= end) break;
    const [first, last] = [Math.max(part.begin, begin), Math.min(part.end, end)];
    if (first < last) found.push({ parameter: part.parameter, begin: first - begin, end: last - begin });
  }
  return found;
}

/** Index of the first part, of those in order, that ends behind an element. */
function firstReaching(parts: readonly FlatPart[], element: number): number {
  let [low, high] = [0, parts.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((parts[middle] as FlatPart).end > element) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Names of the flat buffers of parameters that a node may be of, by its name: in a joint graph those of its member. */
export const flatBufferNames = (graph: Graph, node: string): readonly string[] =>
  buffersFor(graph, node).map(({ name }) => name);
