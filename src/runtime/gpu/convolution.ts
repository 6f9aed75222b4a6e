import { NodeError } from "../../graph/errors.js";
import { bytesPerElement, elementCount, type Graph, type Node, type TensorType } from "../../graph/graph.js";
import { originalName } from "../../graph/names.js";
import { toFirst } from "../../ops/channels-last.js";
import { opOf } from "../../ops/index.js";
import type { Pointer } from "../ort-api.js";
import { type NodeContext, number, numbers, type OwnNode, typeIn } from "./context.js";
import { kernelsFor, smallWorkspace, waysOf } from "./convolution-search.js";
import { factors } from "./cudnn.js";
import {
  affordable,
  type ConvolutionKind,
  type ConvolutionSpec,
  type UnboundConvolution,
} from "./cudnn-convolutions.js";

type Found = UnboundConvolution & {
  /** Which inputs of the node are cuDNN's two operands. */
  readonly operands: readonly [number, number];
};

/** The convolution that a node computes, seen as cuDNN does; undefined if cuDNN has no such one. */
function convolutionOf(node: Node, graph: Pick<Graph, "tensors">): Found | undefined {
  const { channelsFirst } = opOf(node);
  const { domain, op } = channelsFirst ?? node;
  // whatever the order of the axes in memory, cuDNN names the channels first
  const typed = (name: string | undefined): TensorType => {
    const { dtype, shape } = typeIn(graph, name);
    return { dtype, shape: channelsFirst ? toFirst(shape) : shape };
  };
  const [first, second] = [typed(node.inputs[0]), typed(node.inputs[1])];
  const out = typed(node.outputs[0]);
  const rank = first.shape.length - 2;
  const pads = numbers(node, "pads") ?? new Array<number>(2 * rank).fill(0);
  const ones = new Array<number>(rank).fill(1);
  const symmetric = pads.slice(0, rank).every((pad, axis) => pad === pads[axis + rank]);
  const explicit = ["", "NOTSET"].includes((node.attributes.auto_pad?.value as string | undefined) ?? "");
  if (!symmetric || !explicit || rank < 1 || rank > 3 || pads.some((pad) => pad < 0)) return undefined;
  const common = {
    dtype: first.dtype,
    pads: pads.slice(0, rank),
    strides: numbers(node, "strides") ?? ones,
    dilations: numbers(node, "dilations") ?? ones,
    groups: number(node, "group", 1),
    ...(channelsFirst && { channelsLast: true as const }),
  };
  const kind = kinds[`${domain}:${op}`] as ConvolutionKind;
  const shapes = {
    forward: { x: first.shape, w: second.shape, y: out.shape },
    filter: { x: first.shape, w: out.shape, y: second.shape },
    // a transposed convolution computes what the input gradient of a convolution does: from y to x
    input: { x: out.shape, w: second.shape, y: first.shape },
  }[kind];
  const operands = kind === "input" ? ([1, 0] as const) : ([0, 1] as const);
  const found = { kind, ...common, ...shapes, operands };
  return hasItsShape(found) ? found : undefined;
}

/** Whether the shapes are those of a convolution with these pads: a transposed one may be given its output's instead. */
const hasItsShape = ({ x, w, y, pads, strides, dilations }: Omit<Found, "operands">): boolean =>
  pads.every((pad, axis) => {
    const at = (shape: readonly number[]): number => shape[axis + 2] as number;
    const span = at(x) + 2 * pad - (dilations[axis] as number) * (at(w) - 1) - 1;
    return at(y) === Math.floor(span / (strides[axis] as number)) + 1;
  });

const kinds: Readonly<Record<string, ConvolutionKind>> = {
  ":Conv": "forward",
  ":ConvTranspose": "input",
  "mutwo:ConvFilterGradient": "filter",
};

/** Bytes of which all these addresses are multiples; 16 is as much as kernels ask for. */
const alignmentOf = (addresses: readonly Pointer[]): number =>
  [16, 8, 4, 2].find((bytes) => addresses.every((address) => address % BigInt(bytes) === 0n)) ?? 1;

/** Whether the operands lie on boundaries of 16 bytes, also where they are parts of others: some images, or one filter of many. */
const isAligned = ({ dtype, x, w, y }: UnboundConvolution): boolean =>
  [x.slice(1), w, y.slice(1)].every((shape) => (elementCount(shape) * bytesPerElement(dtype)) % 16 === 0);

/** What adds a bias of channels to a convolution's output. */
function biasOf(node: Node, bias: string, { cudnn, graph, address }: NodeContext): () => void {
  const { dtype, shape } = typeIn(graph, node.outputs[0]);
  const ofChannels = cudnn.tensor(
    dtype,
    shape.map((size, axis) => (axis === 1 ? size : 1)),
  );
  const [one] = factors(dtype);
  const [whole, from, to] = [cudnn.tensor(dtype, shape), address(bias), address(node.outputs[0] as string)];
  return () => cudnn.run("cudnnAddTensor", one, ofChannels, from, one, whole, to);
}

/** A convolution, its transpose or its filter's gradient by cuDNN. */
export const convolution: OwnNode = {
  // a bias is added by a kernel more: ONNX Runtime's adds it at once, but may differ from run to run (it times algorithms
  // anew for each step)
  fits(node, graph, { cudnn, deterministic, isPlannable }) {
    const hasBias = Boolean(node.inputs[2]);
    if ((hasBias && !deterministic) || !cudnn.supports(typeIn(graph, node.inputs[0]).dtype)) return false;
    const found = convolutionOf(node, graph);
    if (!found?.channelsLast) return found !== undefined;
    // the legacy interface hardly knows this order, and no interface knows it of float64
    const { operands, ...spec } = found;
    return !hasBias && spec.dtype !== "float64" && isAligned(spec) && (isPlannable?.(spec) ?? true);
  },
  prepare(node, context) {
    const found = convolutionOf(node, context.graph);
    if (!found) throw new NodeError("cuDNN has no such convolution", node);
    const { operands, ...rest } = found;
    const [a, b] = operands.map((slot) => context.address(node.inputs[slot] as string)) as [Pointer, Pointer];
    const out = context.address(node.outputs[0] as string);
    const alignment = alignmentOf([a, b, out]);
    const { tf32, deterministic, beside } = context;
    // where bits are compared they are those of the model alone
    const lanes = beside > 1 && !deterministic ? { beside } : {};
    const spec: ConvolutionSpec = { ...rest, alignment, tf32, deterministic, ...lanes };
    const key = JSON.stringify(spec);
    const { workspace } = context;
    // compiled with all others that the step needs, many at a time
    for (const source of kernelsFor(context, spec)) context.launcher(source, () => []);
    const addBias = node.inputs[2] ? biasOf(node, node.inputs[2], context) : () => {};
    return () => {
      const found = context.convolutions.get(key) ?? waysOf(context, spec, { a, b, out });
      context.convolutions.set(key, found);
      // what fits into memory that is free anyway, or takes little of its own; the first step that is loaded chooses, and
      // a planned one takes the same, whatever it has free: another algorithm gives other bits. Where bits are compared,
      // nothing depends on what is free: beside other models it is another amount
      const limit = Math.max(context.deterministic ? 0 : workspace.availableBytes, smallWorkspace);
      // copies are made in the backward phase; before it, a name that ends like a mark is the model's
      const choice = `${node.phase === "backward" ? originalName(node.name) : node.name} ${key}`;
      const before = context.chosen.get(choice);
      // of another lane's cuDNN perhaps, and made again by this one's
      const same = found.find((one) => one.ms === before?.ms && one.workspaceBytes === before.workspaceBytes);
      const made = same ?? affordable(found, limit);
      context.chosen.set(choice, made);
      workspace.withPieces(made.workspaceBytes ? [made.workspaceBytes] : [], ([at = 0n]) => made.run(a, b, out, at));
      addBias();
    };
  },
};
