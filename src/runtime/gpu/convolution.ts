import { NodeError } from "../../graph/errors.js";
import type { DType, Graph, Node } from "../../graph/graph.js";
import { originalName } from "../../graph/names.js";
import type { Pointer } from "../ort-api.js";
import { type NodeContext, number, numbers, type OwnNode, typeIn } from "./context.js";
import { factors } from "./cudnn.js";
import { affordable, type ConvolutionKind, type ConvolutionSpec, convolutionsOf } from "./cudnn-convolutions.js";

/**
 * Workspace that an algorithm may take beyond what lies idle in the arena at its node, bytes. The fast ones of bfloat16
 * copy their operands into another layout.
 */
const smallWorkspace = (dtype: DType): number => (dtype === "bfloat16" ? 256 : 32) * 2 ** 20;

/** Workspace with which algorithms are tried. */
const largestTrial = 2 ** 30;

/** The convolution that a node computes, seen as cuDNN does; undefined if cuDNN has no such one. */
function convolutionOf(
  node: Node,
  graph: Pick<Graph, "tensors">,
):
  | (Pick<ConvolutionSpec, "kind" | "dtype" | "x" | "w" | "y" | "pads" | "strides" | "dilations" | "groups"> & {
      /** Which inputs of the node are cuDNN's two operands. */
      readonly operands: readonly [number, number];
    })
  | undefined {
  const [first, second] = [typeIn(graph, node.inputs[0]), typeIn(graph, node.inputs[1])];
  const out = typeIn(graph, node.outputs[0]);
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
  };
  const kind = kinds[`${node.domain}:${node.op}`] as ConvolutionKind;
  if (kind === "forward") return { kind, ...common, x: first.shape, w: second.shape, y: out.shape, operands: [0, 1] };
  if (kind === "filter") return { kind, ...common, x: first.shape, w: out.shape, y: second.shape, operands: [0, 1] };
  // a transposed convolution computes what the input gradient of a convolution does: from y to x
  return { kind, ...common, x: out.shape, w: second.shape, y: first.shape, operands: [1, 0] };
}

const kinds: Readonly<Record<string, ConvolutionKind>> = {
  ":Conv": "forward",
  ":ConvTranspose": "input",
  "mutwo:ConvFilterGradient": "filter",
};

/** Whether a tensor's place in a flat buffer is none that fast kernels take: they want multiples of 16 bytes. */
const isOdd = (graph: Pick<Graph, "tensors">, name: string | undefined): boolean =>
  (typeIn(graph, name).within?.offsetBytes ?? 0) % 16 !== 0;

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
  // ONNX Runtime's own kernels for the forward and the transposed one are faster, but may differ from run to run (it
  // times algorithms anew for each step), there are none for bfloat16, and they fail on odd addresses
  fits: (node, graph, { cudnn, deterministic }) =>
    (deterministic ||
      isOdd(graph, node.inputs[1]) ||
      // a bias is added by a kernel more
      (!node.inputs[2] && (node.domain !== "" || typeIn(graph, node.inputs[0]).dtype === "bfloat16"))) &&
    cudnn.supports(typeIn(graph, node.inputs[0]).dtype) &&
    convolutionOf(node, graph) !== undefined,
  prepare(node, context) {
    const found = convolutionOf(node, context.graph);
    if (!found) throw new NodeError("cuDNN has no such convolution", node);
    const { operands, ...rest } = found;
    const spec: ConvolutionSpec = { ...rest, tf32: context.tf32, deterministic: context.deterministic };
    const key = JSON.stringify(spec);
    const [a, b] = operands.map((slot) => context.address(node.inputs[slot] as string)) as [Pointer, Pointer];
    const out = context.address(node.outputs[0] as string);
    const { workspace, cuda, cudnn } = context;
    const addBias = node.inputs[2] ? biasOf(node, node.inputs[2], context) : () => {};
    return () => {
      let found = context.convolutions.get(key);
      if (!found) {
        const limit = Math.max(workspace.availableBytes, Math.min(largestTrial, Math.floor(cuda.freeBytes() / 2)));
        const at = workspace.take(limit);
        try {
          found = convolutionsOf(cudnn, spec, { a, b, out }, at, limit);
        } finally {
          workspace.giveBack(at);
        }
        context.convolutions.set(key, found);
      }
      // what fits into memory that is free anyway, or takes little of its own; the first step that is loaded chooses, and
      // a planned one takes the same, whatever it has free: another algorithm gives other bits
      const limit = Math.max(workspace.availableBytes, smallWorkspace(spec.dtype));
      // copies are made in the backward phase; before it, a name that ends like a mark is the model's
      const choice = `${node.phase === "backward" ? originalName(node.name) : node.name} ${key}`;
      const made = context.chosen.get(choice) ?? affordable(found, limit);
      if (workspace.settled) context.chosen.set(choice, made);
      const at = made.workspaceBytes ? workspace.take(made.workspaceBytes) : 0n;
      try {
        made.run(a, b, out, at);
      } finally {
        if (at) workspace.giveBack(at);
      }
      addBias();
    };
  },
};
