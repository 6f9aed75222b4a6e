import {
  bytesPerElement,
  consumers,
  elementCount,
  type Graph,
  type Node,
  producers,
  type TensorType,
  tensorBytes,
  tensorOf,
} from "../graph/graph.js";
import { callOf } from "../ops/call.js";
import { isSameInBoth, lastForm, toLast } from "../ops/channels-last.js";
import { opOf } from "../ops/index.js";
import { normalizeAxes } from "../ops/shapes.js";
import { Network } from "./min-cut.js";

/**
 * Nodes that gain or lose with channels last: a convolution of all channels; one that is a product of matrices as it lies
 * in memory, windows of one element at every place of large images; one in groups of many channels; one in groups of a
 * channel each; sums over all elements of a channel.
 */
export type LayoutKind = "dense" | "matrices" | "grouped" | "depthwise" | "sums";

/**
 * What a node gains with channels last, as a share of what it would take to write its images in another order, by element
 * type. Below 0 where it loses; absent: nothing.
 */
export type LayoutGains = Readonly<Record<LayoutKind, Readonly<Record<string, number>>>>;

/** Images have two spatial axes: those of which it was measured what they gain. */
const imageRank = 4;

/** What another launch costs, as bytes that are copied in the same time. */
const launchBytes = 4 * 2 ** 20;

/** Which inputs and outputs of a node are images whose channels may be last: all of them or none. */
export interface ImageSlots {
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

const isImage = (type: TensorType | undefined): boolean => type?.shape.length === imageRank;

const slotsOf = (names: readonly string[], wanted: (i: number) => boolean): number[] =>
  names.flatMap((name, i) => (name && wanted(i) ? [i] : []));

/** A shape with axes of size 1 in front, as it is broadcast to an image. */
export const asImage = (shape: readonly number[]): number[] => [
  ...new Array<number>(Math.max(0, imageRank - shape.length)).fill(1),
  ...shape,
];

/** Whether a kernel fits a node, given the types of its tensors. */
type HasKernel = (node: Node, graph: Pick<Graph, "tensors">) => boolean;

/** Which images of a node can have their channels last; undefined if it cannot be so. */
export function imagesOf(node: Node, graph: Graph, hasKernel: HasKernel): ImageSlots | undefined {
  const record = opOf(node);
  if (node.phase === "update" || record.random || record.swap) return undefined;
  const type = (name: string): TensorType => tensorOf(graph, name);
  const { images, axesIn } = record;
  if (images) {
    const slots = {
      inputs: slotsOf(node.inputs, (i) => images.inputs.includes(i)),
      outputs: slotsOf(node.outputs, (i) => images.outputs.includes(i)),
    };
    const names = [
      ...slots.inputs.map((i) => node.inputs[i]),
      ...slots.outputs.map((i) => node.outputs[i]),
    ] as string[];
    if (!names.every((name) => isImage(type(name)))) return undefined;
    // what the node names, no more: a step has tens of thousands of tensors
    const tensors = new Map(
      [...node.inputs, ...node.outputs].flatMap((name) => (name ? [[name, tensorOf(graph, name)] as const] : [])),
    );
    for (const name of names) tensors.set(name, { ...tensorOf(graph, name), shape: toLast(type(name).shape) });
    const inputs = node.inputs.map((name, i) => (i === images.bias ? "" : name));
    return hasKernel({ ...node, ...lastForm(node), inputs }, { tensors }) ? slots : undefined;
  }
  if (record.pointwise && (!record.view || record.alias)) {
    const [output = ""] = node.outputs;
    if (node.outputs.length !== 1 || !isImage(type(output))) return undefined;
    const isSmall = (name: string): boolean => elementCount(type(name).shape) === 1;
    const fits = node.inputs.every(
      (name) => !name || isSmall(name) || isImage(type(name)) || isSameInBoth(asImage(type(name).shape)),
    );
    return fits ? { inputs: slotsOf(node.inputs, (i) => !isSmall(node.inputs[i] as string)), outputs: [0] } : undefined;
  }
  if (!axesIn || axesIn === "body" || !node.inputs[0] || !isImage(type(node.inputs[0]))) return undefined;
  const isData = (i: number): boolean => !record.hostInputs.includes(i) && isImage(type(node.inputs[i] as string));
  return canTurn(node, graph)
    ? {
        inputs: slotsOf(node.inputs, isData),
        outputs: slotsOf(node.outputs, (i) => isImage(type(node.outputs[i] as string))),
      }
    : undefined;
}

/** Whether what names axes is known, and an output that is no image is the same. */
function canTurn(node: Node, graph: Graph): boolean {
  const { axesIn } = opOf(node);
  const call = callOf(node, graph.tensors);
  if (typeof axesIn !== "object") return true;
  const axes = axesIn.axes === undefined ? undefined : call.constant(axesIn.axes);
  if (!axes) return axesIn.each !== undefined && (call.constant(axesIn.each)?.length ?? 1) % imageRank === 0;
  if (isImage(tensorOf(graph, node.outputs[0] as string))) return true;
  const { shape } = call.input(0);
  const gone = normalizeAxes(axes, shape.length);
  const stay = shape.map((_, axis) => axis).filter((axis) => !gone.includes(axis));
  return (
    toLast(shape.map((_, axis) => axis))
      .filter((axis) => stay.includes(axis))
      .join() === stay.join()
  );
}

/**
 * What a node gains with channels last, in bytes that are copied in the same time. A bias is added in a node of its own,
 * which is a pass over the output unless it becomes a part of all `readers`.
 */
function gainOf(
  node: Node,
  graph: Graph,
  gains: LayoutGains,
  { inputs, outputs }: ImageSlots,
  readers: readonly Node[],
): number {
  if (!opOf(node).images) return 0;
  const names = [...inputs.map((i) => node.inputs[i]), ...outputs.map((i) => node.outputs[i])] as string[];
  const images = names.map((name) => tensorOf(graph, name));
  const kind = kindOf(node, images);
  const share = (kind && gains[kind][images[0]?.dtype as string]) ?? 0;
  const hasBias = Boolean(node.inputs[opOf(node).images?.bias ?? -1]);
  const isApart = hasBias && !readers.every((reader) => opOf(reader).fusible === "elements");
  const added = isApart ? tensorBytes(tensorOf(graph, node.outputs[0] as string)) + launchBytes : 0;
  return share * images.reduce((sum, image) => sum + tensorBytes(image), 0) - added;
}

/** Bytes of channels that kernels of tensor cores read at once. */
const readBytes = 16;

/** Channels of pictures, gray to four colours: kernels have ways of their own for so few. */
const mostColours = 4;

/** Fewest channels of a group of which it was measured what is gained. */
const leastOfGroup = 16;

/** Places of an image with which a product of matrices for each image is as fast as one for all of them. */
const manyPlaces = 512;

/** What a node is that gains or loses, given the types of its images; undefined for others. */
function kindOf(node: Node, images: readonly TensorType[]): LayoutKind | undefined {
  const { productGradient } = opOf(node);
  if (!isConvolution(node)) return opOf(node).images?.outputs.length ? undefined : "sums";
  const group = (node.attributes.group?.value as number | undefined) ?? 1;
  const channels = images.map(({ shape }) => shape[1] as number);
  const filter = images[productGradient ? 2 : 1] as TensorType;
  if (group > 1 && Math.max(...channels) === group) return "depthwise";
  if (group > 1) return (filter.shape[1] as number) >= leastOfGroup ? "grouped" : undefined;
  const isRead = images.every(
    ({ dtype }, i) =>
      (channels[i] as number) <= mostColours || ((channels[i] as number) * bytesPerElement(dtype)) % readBytes === 0,
  );
  if (!isRead) return undefined;
  const strides = (node.attributes.strides?.value as readonly number[] | undefined) ?? [];
  const isOfOne = [...filter.shape.slice(2), ...strides].every((size) => size === 1);
  const places = Math.min(...images.filter((one) => one !== filter).map(({ shape }) => elementCount(shape.slice(2))));
  return isOfOne && places >= manyPlaces ? "matrices" : "dense";
}

/** Whether a node multiplies and adds over windows. */
export const isConvolution = (node: Node): boolean =>
  opOf(node).product === "windows" || opOf(node).productGradient === "windows";

/**
 * Ranks of the nodes that are to have their images' channels last, so that what convolutions gain, less what it takes to
 * write images in the other order where nodes of both kinds meet, is most: a minimum cut. `slots` has the nodes that can.
 */
export function lastNodes(
  graph: Graph,
  gains: LayoutGains,
  slots: ReadonlyMap<number, ImageSlots>,
): ReadonlySet<number> {
  const read = consumers(graph);
  const nodeAt = (rank: number): Node => graph.nodes[rank] as Node;
  const readersOf = ({ outputs }: Node): Node[] => outputs.flatMap((name) => (read.get(name) ?? []).map(nodeAt));
  const gain = new Map(
    [...slots].map(([rank, own]) => {
      const node = nodeAt(rank);
      return [rank, gainOf(node, graph, gains, own, isConvolution(node) ? readersOf(node) : [])];
    }),
  );
  if (![...gain.values()].some((value) => value > 0)) return new Set();
  const network = new Network();
  // the source's side has its channels first
  const [first, last] = [network.vertex(), network.vertex()];
  const vertices = new Map([...slots.keys()].map((rank) => [rank, network.vertex()]));
  for (const [rank, value] of gain) {
    const vertex = vertices.get(rank) as number;
    if (value > 0) network.edge(vertex, last, value);
    else if (value < 0) network.edge(first, vertex, -value);
  }
  const made = producers(graph);
  const kept = new Set([...graph.outputs, ...graph.state.map(({ after }) => after)]);
  const at = (rank: number | undefined, name: string, side: keyof ImageSlots): number => {
    const own = rank === undefined ? undefined : slots.get(rank);
    const names = graph.nodes[rank ?? 0]?.[side] ?? [];
    return own?.[side].some((slot) => names[slot] === name) ? (vertices.get(rank as number) as number) : first;
  };
  for (const tensor of graph.tensors.values()) {
    const { name, shape } = tensor;
    const readers = [...new Set(read.get(name) ?? [])].map((rank) => at(rank, name, "inputs"));
    const maker = at(made.get(name), name, "outputs");
    if (kept.has(name) || tensor.within) readers.push(first);
    const others = [...new Set(readers)].filter((vertex) => vertex !== maker);
    if (!others.length) continue;
    const cost = isSameInBoth(asImage(shape)) ? 1 : tensorBytes(tensor) + launchBytes;
    const [toLastOnce, toFirstOnce] = [network.vertex(), network.vertex()];
    network.edge(maker, toLastOnce, cost);
    network.edge(toFirstOnce, maker, cost);
    for (const vertex of others) {
      network.edge(toLastOnce, vertex, Number.POSITIVE_INFINITY);
      network.edge(vertex, toFirstOnce, Number.POSITIVE_INFINITY);
    }
  }
  const reaching = network.cut(first, last);
  return new Set([...vertices].flatMap(([rank, vertex]) => (reaching.has(vertex) ? [rank] : [])));
}
