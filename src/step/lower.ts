import { Builder } from "../build/build.js";
import { type Expansion, expand } from "../build/expand.js";
import { NodeError } from "../graph/errors.js";
import { type DType, type Graph, int, is16Bit, type Node, onnxNumbers, prune, type Tensor } from "../graph/graph.js";
import { opOf } from "../ops/index.js";
import type { Body, Host, Op } from "../ops/op.js";
import { cast, reshape } from "../ops/shapes.js";
import { alignRows } from "./aligned.js";
import { separateBiases } from "./bias.js";
import { channelsLast } from "./channels-last.js";
import { fuse } from "./fuse.js";
import { fusible } from "./fusible.js";
import { writeInPlace } from "./in-place.js";
import { widerIntegers } from "./integers.js";
import type { LayoutGains } from "./layout-regions.js";
import { storeAlongSums } from "./products.js";
import { showRows } from "./rows.js";
import { sliceUpdate } from "./slices.js";
import { absorbTransposes } from "./transposes.js";
import { sumWide } from "./wide-sums.js";

/**
 * The same graph with every node that the runtime has no kernel for replaced by its op's body in standard ops; where
 * `prefers` is "parts", also those whose parts fuse with what stands around, where it is a CPU those that have a faster
 * form there. Tensors that other nodes read keep their names. Throws `no kernel: <op> <dtype> (node <name>)` where there
 * is no body either.
 */
export function lower(graph: Graph, hasKernel: Target["hasKernel"], prefers?: "parts" | Host): Graph {
  // most steps of transformers need nothing on the host
  if (!graph.nodes.some((node) => mayChange(graph, node, hasKernel, prefers))) return graph;
  const b = new Builder(graph, false);
  const replace = (node: Node, body: Expansion | undefined): void => {
    for (const inner of body?.nodes ?? []) add(inner);
    node.outputs.forEach((name, i) => {
      if (name) settle(b, body?.results[i] ?? "", name, node);
    });
  };
  const add = (node: Node): void => {
    const op = opOf(node);
    const preferred = prefers && preferredForm(b, node, prefers, hasKernel);
    if (preferred) {
      replace(node, preferred);
      return;
    }
    if (isShown(op, prefers) || op.swap || hasKernel(node, b)) {
      b.append(node);
      return;
    }
    const first = node.inputs[0] ? b.tensors.get(node.inputs[0]) : undefined;
    const rule =
      biasApart(b, node, hasKernel) ?? widerRule(b, node, hasKernel) ?? widerIntegers(b, node, hasKernel) ?? op.body;
    if (!rule) throw new NodeError(`no kernel: ${node.op} ${first?.dtype ?? ""}`, node, { kind: "no kernel" });
    replace(node, expand(b, node, rule));
  };
  for (const node of graph.nodes) add(node);
  return prune({ ...graph, nodes: b.nodes, tensors: b.tensors });
}

/** Whether an op needs no kernel: a view, and one of a part where that is a runtime's form: ONNX has none. */
const isShown = (op: Op, prefers: "parts" | Host | undefined): boolean =>
  op.view && (op.viewStart === undefined || prefers !== undefined);

/** Whether a node could be replaced by others: there is no kernel for it, or its op has another form. */
function mayChange(
  graph: Graph,
  node: Node,
  hasKernel: Target["hasKernel"],
  prefers: "parts" | Host | undefined,
): boolean {
  const op = opOf(node);
  if (prefers === "parts" || (prefers && op.onHost)) return true;
  return !isShown(op, prefers) && !op.swap && !hasKernel(node, graph);
}

/** A node in the form that a runtime prefers, such as parts that can be members of fused ones; undefined if it has none. */
function preferredForm(
  b: Builder,
  node: Node,
  prefers: "parts" | Host,
  hasKernel: Target["hasKernel"],
): Expansion | undefined {
  const op = opOf(node);
  const graph = { name: "", tensors: b.tensors };
  if (prefers !== "parts") return op.onHost && expand(b, node, (call) => op.onHost?.(call, prefers));
  // also element-wise ops that kernels have no expression for
  const finer = op.parts?.of ?? (op.pointwise && !op.fusible && !op.random ? op.body : undefined);
  if (!finer) return undefined;
  const maker = b.producer(node.inputs[0] ?? "");
  if (op.parts?.joins && !(maker && fusible(maker, graph))) return undefined;
  const expansion = expand(b, node, finer);
  const fits = expansion?.nodes.every(
    (inner) =>
      (hasKernel(inner, graph) || isWidened(inner, graph)) && (inner.domain === "mutwo" || fusible(inner, graph)),
  );
  return fits ? expansion : undefined;
}

/** Whether a node is of 16 bits and of a standard op that fused nodes hold: `widerRule` casts around it, inside of them. */
const isWidened = (node: Node, { tensors }: Pick<Graph, "tensors">): boolean =>
  opOf(node).fusible !== undefined &&
  opOf(node).types !== null &&
  [...node.inputs, ...node.outputs].some((name) => is16Bit(tensors.get(name)?.dtype));

/** What lowering must know of a runtime. */
export interface Target {
  /** Whether fused nodes (fuse.ts) are one kernel here. */
  readonly fuses?: boolean;
  /** What convolutions gain here where channels are the last axis of their images; absent: nothing. */
  readonly layoutGains?: LayoutGains;
  /** `Host.channelBlock` of its CPU; default 1. */
  readonly channelBlock?: number;
  /** Whether there is a native kernel for the node, given the types of its inputs and outputs. */
  hasKernel(node: Node, graph: Pick<Graph, "tensors">): boolean;
}

/** The same graph as a runtime executes it: lowered; fused where it has kernels for that, else updated in slices. */
export function lowerFor(runtime: Target, graph: Graph): Graph {
  const prefers = runtime.fuses ? "parts" : { channelBlock: runtime.channelBlock ?? 1 };
  const lowered = lower(graph, (node, tensors) => runtime.hasKernel(node, tensors), prefers);
  if (!runtime.fuses) return sliceUpdate(writeInPlace(lowered));
  const hasKernel: Target["hasKernel"] = (node, tensors) => runtime.hasKernel(node, tensors);
  const { layoutGains } = runtime;
  const laidOut = layoutGains ? channelsLast(lowered, layoutGains, hasKernel) : lowered;
  const products = alignRows(separateBiases(absorbTransposes(showRows(laidOut), hasKernel), hasKernel));
  return writeInPlace(fuse(sumWide(storeAlongSums(products, hasKernel), hasKernel)));
}

/** A rule that adds a convolution's bias in a node of its own; undefined if there is no kernel without a bias either. */
function biasApart(
  b: Builder,
  node: Node,
  hasKernel: (node: Node, graph: Pick<Graph, "tensors">) => boolean,
): Body | undefined {
  const inputs = node.inputs.slice(0, 2);
  if (opOf(node).product !== "windows" || !node.inputs[2] || !hasKernel({ ...node, inputs }, b)) return undefined;
  return ({ b: inner, x }) => {
    const made = inner.op(node.op, inputs, node.attributes);
    const { shape } = inner.type(made);
    return [inner.op("Add", [made, reshape(inner, x(2), [shape[1] as number, ...shape.slice(2).map(() => 1)])])];
  };
}

/**
 * A rule that runs a 16-bit node in float32 between casts, which is what ONNX Runtime itself does on the CPU; undefined
 * if the node has nothing of 16 bits, or if there is no kernel in float32 either.
 */
function widerRule(
  b: Builder,
  node: Node,
  hasKernel: (node: Node, graph: Pick<Graph, "tensors">) => boolean,
): Body | undefined {
  const types = node.outputs.map((name) => (name ? b.type(name).dtype : undefined));
  if (![...node.inputs, ...node.outputs].some((name) => is16Bit(b.tensors.get(name)?.dtype))) return undefined;
  const tensors = new Map(
    [...node.inputs, ...node.outputs].flatMap((name): [string, Tensor][] => {
      const tensor = b.tensors.get(name);
      return tensor ? [[name, is16Bit(tensor.dtype) ? { ...tensor, dtype: "float32" } : tensor]] : [];
    }),
  );
  const wide = { ...node, attributes: widerAttributes(node) };
  // the cast itself is what everything else is made of
  if (node.op === "Cast" || !opOf(node).types || !hasKernel(wide, { tensors })) return undefined;
  return ({ b: inner, x }) => {
    const inputs = node.inputs.map((name, i) =>
      name && is16Bit(inner.type(name).dtype) ? cast(inner, x(i), "float32") : name,
    );
    const made = inner.add(node.op, inputs, wide.attributes, { domain: node.domain, count: node.outputs.length });
    return made.map((name, i) => (node.outputs[i] ? cast(inner, name, types[i] as DType) : ""));
  };
}

/** Attributes that ask for 16 bits ask for float32. */
function widerAttributes(node: Node): Node["attributes"] {
  const { dtype } = node.attributes;
  const asks = dtype?.type === "int" && [onnxNumbers.float16, onnxNumbers.bfloat16].includes(dtype.value);
  return asks ? { ...node.attributes, dtype: int(onnxNumbers.float32) } : node.attributes;
}

/** Makes a body's result known by the name that the lowered node's output had. */
function settle(b: Builder, result: string, name: string, node: Node): void {
  const wanted = b.type(name);
  const made = b.tensors.get(result);
  if (!made) throw new NodeError(`body of ${node.op} gives no output ${name}`, node);
  if (made.shape.join() !== wanted.shape.join() || made.dtype !== wanted.dtype)
    throw new NodeError(`shape mismatch: body of ${node.op} gives [${made.shape}] for ${name} [${wanted.shape}]`, node);
  const producer = b.producer(result);
  const isOwn = producer !== undefined && !node.inputs.includes(result);
  const isView = isOwn && opOf(producer).view;
  // a part of a flat buffer that the body makes as a view: what it shows lies in the part's place
  if (isOwn && (!isView || !wanted.within || b.placeWithin(result, wanted.within))) {
    b.rename(result, name);
    b.redeclare(wanted);
    return;
  }
  // the result is an input of the node, or a view that cannot lie in the flat buffer: give it storage of its own
  b.scope = node.name;
  b.phase = node.phase;
  b.add("Mul", [result, b.scalar(1, result)], {}, { outputs: [name] });
}
