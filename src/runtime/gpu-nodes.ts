import {
  bytesPerElement,
  type DType,
  elementCount,
  type Graph,
  type Node,
  type TensorType,
  tensorBytes,
  tensorOf,
} from "../graph.js";
import { callOf } from "../ops/call.js";
import { type FusedBody, fusedAttributes, fusedGraph } from "../ops/fused.js";
import { normalizeAxes } from "../ops/shapes.js";
import { originalName } from "../rewrite.js";
import { bytesOf } from "../values.js";
import type { Cuda } from "./cuda.js";
import { onDevice, toDevice, toHost } from "./cuda.js";
import type { BatchNorm, Convolution, ConvolutionKind, ConvolutionSpec, Cudnn } from "./cudnn.js";
import { canGenerate, fusedSource, type KernelSource } from "./fused-source.js";
import type { Pointer } from "./ort.js";
import { maxPoolGradientSource } from "./pool-source.js";
import { dropoutSource, randomSource, type Spread } from "./random-source.js";
import { type ReducedShape, reducedShape, reductionSource } from "./reduce-source.js";
import { scatterSource } from "./scatter-source.js";
import type { Workspace } from "./workspace.js";

/** What a node that runs without a kernel of ONNX Runtime works with. */
export interface NodeContext extends Means {
  readonly graph: Pick<Graph, "tensors" | "name">;
  readonly cuda: Cuda;
  readonly stream: Pointer;
  readonly workspace: Workspace;
  readonly tf32: boolean;
  /** Algorithms that were chosen already, by what they compute. */
  readonly convolutions: Map<string, readonly Convolution[]>;
  /** Which of them each node takes. */
  readonly chosen: Map<string, Convolution>;
  address(name: string): Pointer;
  /** Streams for copies to the host and back. */
  readonly copyStreams: { readonly out: Pointer; readonly in: Pointer };
  /** An event that belongs to a tensor: the same each time. */
  event(name: string): Pointer;
  /** Address of the number of the step, which grows by one each time. */
  readonly stepCounter: Pointer;
  /** A launch of a generated kernel on these addresses; it is compiled when all that a step needs is known. */
  launcher(source: KernelSource, addresses: () => readonly Pointer[]): () => void;
}

/** What there is to run nodes with. */
export interface Means {
  readonly cudnn: Cudnn;
  /** Whether kernels can be compiled here. */
  readonly compiles: boolean;
  /** Only kernels that give the same bits each time. */
  readonly deterministic: boolean;
}

interface OwnNode {
  /** Whether it can run this node; a condition on its types and attributes. */
  fits(node: Node, graph: Pick<Graph, "tensors">, means: Means): boolean;
  prepare(node: Node, context: NodeContext): () => void;
}

const type = (graph: Pick<Graph, "tensors">, name: string | undefined) => tensorOf({ ...graph, name: "" }, name ?? "");
const numbers = (node: Node, name: string): readonly number[] | undefined =>
  node.attributes[name]?.value as readonly number[] | undefined;
const number = (node: Node, name: string, otherwise: number): number =>
  (node.attributes[name]?.value as number | undefined) ?? otherwise;

/** Workspace that an algorithm may take beyond what lies idle in the arena at its node, bytes. */
const smallWorkspace = 32 * 2 ** 20;
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
  const [first, second] = [type(graph, node.inputs[0]), type(graph, node.inputs[1])];
  const out = type(graph, node.outputs[0]);
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

const convolution: OwnNode = {
  // ONNX Runtime's own kernels for the forward and the transposed one are faster, but may differ from run to run; a bias
  // would be one more node
  fits: (node, graph, { cudnn, deterministic }) =>
    (deterministic || node.domain !== "") &&
    !node.inputs[2] &&
    cudnn.supports(type(graph, node.inputs[0]).dtype) &&
    convolutionOf(node, graph) !== undefined,
  prepare(node, context) {
    const found = convolutionOf(node, context.graph);
    if (!found) throw new Error(`cuDNN has no such convolution (node ${node.name})`);
    const { operands, ...rest } = found;
    const spec: ConvolutionSpec = { ...rest, tf32: context.tf32, deterministic: context.deterministic };
    const key = JSON.stringify(spec);
    const [a, b] = operands.map((slot) => context.address(node.inputs[slot] as string)) as [Pointer, Pointer];
    const out = context.address(node.outputs[0] as string);
    const { workspace, cuda, cudnn } = context;
    return () => {
      let found = context.convolutions.get(key);
      if (!found) {
        const limit = Math.max(workspace.availableBytes, Math.min(largestTrial, Math.floor(cuda.freeBytes() / 2)));
        const at = workspace.take(limit);
        try {
          found = cudnn.convolutions(spec, a, b, out, at, limit);
        } finally {
          workspace.giveBack(at);
        }
        context.convolutions.set(key, found);
      }
      // what fits into memory that is free anyway, or takes little of its own; the first step that is loaded chooses, and
      // a planned one takes the same, whatever it has free: another algorithm gives other bits
      const limit = Math.max(workspace.availableBytes, smallWorkspace);
      const choice = `${originalName(node.name)} ${key}`;
      const made = (context.chosen.get(choice) ??
        found.find(({ workspaceBytes }) => workspaceBytes <= limit) ??
        [...found].sort((p, q) => p.workspaceBytes - q.workspaceBytes)[0]) as Convolution;
      if (workspace.settled) context.chosen.set(choice, made);
      const at = made.workspaceBytes ? workspace.take(made.workspaceBytes) : 0n;
      try {
        made.run(a, b, out, at);
      } finally {
        if (at) workspace.giveBack(at);
      }
    };
  },
};

const batchNormOf = (context: NodeContext, name: string | undefined): BatchNorm => {
  const { dtype, shape } = type(context.graph, name);
  return context.cudnn.batchNorm(dtype, shape, context.deterministic);
};

const batchNormGradient: OwnNode = {
  fits: (node, graph, { cudnn }) =>
    cudnn.supports(type(graph, node.inputs[1]).dtype) && type(graph, node.inputs[2]).dtype === "float32",
  prepare(node, context) {
    const [dy, x, scale, mean, inverse] = node.inputs.map(context.address) as Pointer[];
    const { shape } = type(context.graph, node.inputs[2]);
    const norm = batchNormOf(context, node.inputs[1]);
    const epsilon = number(node, "epsilon", 1e-5);
    const [dx, dScale, dBias] = node.outputs;
    const { workspace } = context;
    const bytes = (name: string | undefined): number => (name ? tensorBytes(type(context.graph, name)) : 0);
    return () => {
      // cuDNN makes all three: what nothing reads goes into the workspace
      const spare = (name: string | undefined, size: number): { at: Pointer; own: boolean } =>
        name ? { at: context.address(name), own: false } : { at: workspace.take(size), own: true };
      const vector = 4 * elementCount(shape);
      const made = [spare(dx, bytes(node.inputs[1])), spare(dScale, vector), spare(dBias, vector)];
      try {
        norm.backward({
          x: x as Pointer,
          dy: dy as Pointer,
          scale: scale as Pointer,
          mean: mean as Pointer,
          inverse: inverse as Pointer,
          dx: made[0]?.at as Pointer,
          dScale: made[1]?.at as Pointer,
          dBias: made[2]?.at as Pointer,
          epsilon,
        });
      } finally {
        for (const { at, own } of made.reverse()) if (own) workspace.giveBack(at);
      }
    };
  },
};

const batchNorm: OwnNode = {
  fits: (node, graph, { cudnn, compiles }) =>
    compiles &&
    cudnn.supports(type(graph, node.inputs[0]).dtype) &&
    node.inputs.slice(1).every((name) => type(graph, name).dtype === "float32"),
  prepare(node, context) {
    const [x, scale, bias, mean, variance] = node.inputs;
    const [y, newMean, newVariance, batchMean, batchInverse] = node.outputs;
    const vector = type(context.graph, scale);
    const norm = batchNormOf(context, x);
    const epsilon = number(node, "epsilon", 1e-5);
    const { workspace, address } = context;
    const bytes = tensorBytes(vector);
    const momentum = number(node, "momentum", 0.9);
    // cuDNN's own running variance is the unbiased one, ONNX's is not
    const names = [mean, variance] as [string, string];
    let statistics: [Pointer, Pointer] = [0n, 0n];
    const renew =
      newMean || newVariance
        ? context.launcher(
            fusedSource(runningStatistics(vector, epsilon, momentum, Boolean(newMean), Boolean(newVariance)), true),
            () => [
              ...names.map(address),
              ...statistics,
              ...[newMean, newVariance].filter((name): name is string => Boolean(name)).map(address),
            ],
          )
        : undefined;
    return () => {
      const spare = (name: string | undefined): { at: Pointer; own: boolean } =>
        name ? { at: address(name), own: false } : { at: workspace.take(bytes), own: true };
      const made = [spare(batchMean), spare(batchInverse)] as const;
      statistics = [made[0].at, made[1].at];
      try {
        norm.forward({
          x: address(x as string),
          scale: address(scale as string),
          bias: address(bias as string),
          y: address(y as string),
          mean: made[0].at,
          inverse: made[1].at,
          epsilon,
        });
        renew?.();
      } finally {
        for (const { at, own } of [...made].reverse()) if (own) workspace.giveBack(at);
      }
    };
  },
};

/** (mean, variance, batch mean, batch 1/√(variance + ε)) → the next running mean and variance, as a fused node's inside. */
function runningStatistics(
  vector: TensorType,
  epsilon: number,
  momentum: number,
  mean: boolean,
  variance: boolean,
): Graph {
  const inner: FusedBody["nodes"][number][] = [];
  const op = (op: string, inputs: string[], output: string): string => {
    inner.push({ op, inputs, outputs: [output] });
    return output;
  };
  const blend = (before: string, batch: string, output: string): string =>
    op("Add", [op("Mul", [before, "c0"], `${output}_old`), op("Mul", [batch, "c1"], `${output}_new`)], output);
  if (mean) blend("x0", "x2", "y0");
  if (variance) {
    const spread = op("Reciprocal", [op("Mul", ["x3", "x3"], "square")], "spread");
    blend("x1", op("Sub", [spread, "c2"], "batch"), mean ? "y1" : "y0");
  }
  const scalar = (value: number) => ({
    dtype: vector.dtype,
    shape: [],
    dataBase64: Buffer.from(bytesOf(vector.dtype, [value])).toString("base64"),
  });
  const body: FusedBody = {
    nodes: inner,
    constants: { c0: scalar(momentum), c1: scalar(1 - momentum), c2: scalar(epsilon) },
    inPlace: [],
  };
  const outputs = [mean, variance].filter(Boolean).map((_, i) => `y${i}`);
  const node: Node = {
    name: "running statistics",
    domain: "mutwo",
    op: "Fused",
    inputs: ["x0", "x1", "x2", "x3"],
    outputs,
    attributes: fusedAttributes(body),
    phase: "forward",
  };
  return fusedGraph(node, [vector, vector, vector, vector]);
}

const bodyOf = (node: Node, graph: Pick<Graph, "tensors">): Graph =>
  fusedGraph(
    node,
    node.inputs.map((name) => (name ? type(graph, name) : undefined)),
  );

const fusedNode: OwnNode = {
  fits: (node, graph, { compiles }) => compiles && canGenerate(bodyOf(node, graph)),
  prepare(node, context) {
    const operands = [...node.inputs, ...node.outputs].map(context.address);
    const aligned = operands.every((address) => address % 16n === 0n);
    return context.launcher(fusedSource(bodyOf(node, context.graph), aligned), () => operands);
  },
};

/** A sum or mean over axes that all lie before or after those that stay. */
const reduction: OwnNode = {
  fits: (node, graph, { compiles }) => compiles && reductionOf(node, graph) !== undefined,
  prepare(node, context) {
    const found = reductionOf(node, context.graph);
    if (!found) throw new Error(`no kernel for such a reduction (node ${node.name})`);
    const { dtype, shape, divisor } = found;
    const { first, second, workspaceBytes } = reductionSource(dtype, shape, divisor);
    const [x, y] = [context.address(node.inputs[0] as string), context.address(node.outputs[0] as string)];
    if (!second) return context.launcher(first, () => [x, y]);
    let parts: Pointer = 0n;
    const one = context.launcher(first, () => [x, parts]);
    const two = context.launcher(second, () => [parts, y]);
    return () => {
      parts = context.workspace.take(workspaceBytes);
      try {
        one();
        two();
      } finally {
        context.workspace.giveBack(parts);
      }
    };
  },
};

function reductionOf(
  node: Node,
  graph: Pick<Graph, "tensors">,
): { dtype: DType; shape: ReducedShape; divisor: number } | undefined {
  const { dtype, shape } = type(graph, node.inputs[0]);
  if (!/^(float|bfloat)/.test(dtype) || elementCount(shape) >= 2 ** 31 || elementCount(shape) === 0) return undefined;
  const call = callOf(node, graph.tensors);
  const given = call.inputs[1] ? call.constant(1) : (call.ints("axes") ?? []);
  if (!given) return undefined;
  const axes = normalizeAxes(given.length ? given : shape.map((_, axis) => axis), shape.length);
  const reduced = reducedShape(shape, axes);
  if (!reduced) return undefined;
  return { dtype, shape: reduced, divisor: node.op === "ReduceMean" ? reduced.before * reduced.after : 1 };
}

/** Rows added to rows of a table: the gradient of a look-up. */
const scatterRows: OwnNode = {
  fits: (node, graph, { compiles }) => {
    const [table, index] = [type(graph, node.inputs[0]), type(graph, node.inputs[1])];
    const adds = node.attributes.reduction?.value === "add";
    return (
      compiles && adds && /^(float|bfloat)/.test(table.dtype) && index.dtype === "int64" && index.shape.at(-1) === 1
    );
  },
  prepare(node, context) {
    const [table, index] = [type(context.graph, node.inputs[0]), type(context.graph, node.inputs[1])];
    const width = elementCount(table.shape.slice(1));
    const source = scatterSource(table.dtype, table.shape[0] as number, width, elementCount(index.shape));
    const operands = [...node.inputs, ...node.outputs].map(context.address);
    return context.launcher(source, () => operands);
  },
};

/** Copies between one tensor and parts of it along an axis: contiguous rows of each part. */
function parts(node: Node, context: NodeContext, whole: string, names: readonly string[], joins: boolean): () => void {
  const { shape, dtype } = type(context.graph, whole);
  const given = number(node, "axis", 0);
  const axis = given < 0 ? given + shape.length : given;
  const rows = elementCount(shape.slice(0, axis));
  const inner = elementCount(shape.slice(axis + 1)) * bytesPerElement(dtype);
  const pitch = (shape[axis] as number) * inner;
  let start = 0;
  const pieces = names.map((name) => {
    const width = name ? (type(context.graph, name).shape[axis] as number) * inner : 0;
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

/** Max pooling's gradient; without the window's attributes its body adds by index. */
const maxPoolGradient: OwnNode = {
  fits: (node, graph, { compiles }) =>
    compiles &&
    /^(float|bfloat)/.test(type(graph, node.inputs[0]).dtype) &&
    numbers(node, "kernel_shape") !== undefined,
  prepare(node, context) {
    const [dy, dx] = [type(context.graph, node.inputs[0]), type(context.graph, node.outputs[0])];
    const kernel = numbers(node, "kernel_shape") ?? [];
    const ones = new Array<number>(kernel.length).fill(1);
    const window = {
      kernel,
      strides: numbers(node, "strides") ?? ones,
      dilations: numbers(node, "dilations") ?? ones,
      pads: numbers(node, "pads") ?? new Array<number>(2 * kernel.length).fill(0),
    };
    const source = maxPoolGradientSource(dx.dtype, dx.shape, dy.shape.slice(2), window);
    const operands = [...node.inputs, ...node.outputs].map(context.address);
    return context.launcher(source, () => operands);
  },
};

const seedOf = (node: Node): number => Math.trunc(number(node, "seed", 0));

/** Dropout with a mask that differs from step to step, also where a captured step is replayed. */
const dropout: OwnNode = {
  fits: (node, graph, { compiles }) =>
    compiles &&
    /^(float|bfloat)/.test(type(graph, node.inputs[0]).dtype) &&
    node.inputs.slice(1, 3).every((name) => !name || type(graph, name).data !== undefined) &&
    callOf(node, graph.tensors).constant(2)?.[0] === 1,
  prepare(node, context) {
    const { dtype, shape } = type(context.graph, node.inputs[0]);
    const ratio = callOf(node, context.graph.tensors).constant(1)?.[0] ?? 0.5;
    const operands = [node.inputs[0], ...node.outputs].filter((name): name is string => Boolean(name));
    const source = dropoutSource(dtype, elementCount(shape), ratio, seedOf(node), Boolean(node.outputs[1]));
    const addresses = [context.stepCounter, ...operands.map(context.address)];
    return context.launcher(source, () => addresses);
  },
};

/** Random numbers that differ from step to step. */
const randomNumbers: OwnNode = {
  fits: (node, graph, { compiles }) => compiles && /^(float|bfloat)/.test(type(graph, node.outputs[0]).dtype),
  prepare(node, context) {
    const { dtype, shape } = type(context.graph, node.outputs[0]);
    const spread: Spread = node.op.startsWith("RandomUniform")
      ? { kind: "uniform", low: number(node, "low", 0), high: number(node, "high", 1) }
      : { kind: "normal", mean: number(node, "mean", 0), scale: number(node, "scale", 1) };
    const addresses = [context.stepCounter, context.address(node.outputs[0] as string)];
    return context.launcher(randomSource(dtype, elementCount(shape), spread, seedOf(node)), () => addresses);
  },
};

/** Begins a copy between device and host, in a stream of its own, when all that was launched before is done. */
const beginsCopy = (direction: "out" | "in"): OwnNode => ({
  fits: () => true,
  prepare(node, context) {
    const { cuda, stream, copyStreams } = context;
    const [from, to] = [node.inputs[0] as string, node.outputs[0] as string];
    const [source, target] = [context.address(from), context.address(to)];
    const bytes = tensorBytes(type(context.graph, from));
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
const awaitsCopy: OwnNode = {
  fits: () => true,
  prepare(node, { cuda, stream, event }) {
    const done = event(`${node.inputs[0]} is done`);
    return () => cuda.waitFor(stream, done);
  },
};

/** Nodes that run without a kernel of ONNX Runtime. */
const own: Readonly<Record<string, OwnNode>> = {
  ":Conv": convolution,
  ":ConvTranspose": convolution,
  "mutwo:ConvFilterGradient": convolution,
  "mutwo:BatchNormalization": batchNorm,
  "mutwo:BatchNormalizationGradient": batchNormGradient,
  "mutwo:Fused": fusedNode,
  "mutwo:MaxPoolGradient": maxPoolGradient,
  ":Dropout": dropout,
  ":RandomNormal": randomNumbers,
  ":RandomNormalLike": randomNumbers,
  ":RandomUniform": randomNumbers,
  ":RandomUniformLike": randomNumbers,
  "mutwo:SwapOut": beginsCopy("out"),
  "mutwo:SwapOutWait": awaitsCopy,
  "mutwo:SwapIn": beginsCopy("in"),
  "mutwo:SwapInWait": awaitsCopy,
  ":ReduceSum": reduction,
  ":ReduceMean": reduction,
  ":ScatterND": scatterRows,
  // a kernel called by itself sees only one of the inputs that an op takes in any number
  ":Concat": {
    fits: () => true,
    prepare: (node, context) => parts(node, context, node.outputs[0] as string, node.inputs, true),
  },
  // ONNX Runtime's passes addresses through host memory that a captured graph would read after it is freed
  ":Split": {
    fits: (node) => node.outputs.every((name) => name !== ""),
    prepare: (node, context) => parts(node, context, node.inputs[0] as string, node.outputs, false),
  },
};

/** Whether a node runs without a kernel of ONNX Runtime. */
export const runsOwn = (node: Node, graph: Pick<Graph, "tensors">, means: Means): boolean =>
  own[`${node.domain}:${node.op}`]?.fits(node, graph, means) ?? false;

/** What runs such a node; undefined for others. */
export function prepareOwn(node: Node, context: NodeContext): (() => void) | undefined {
  if (!runsOwn(node, context.graph, context)) return undefined;
  return own[`${node.domain}:${node.op}`]?.prepare(node, context);
}
