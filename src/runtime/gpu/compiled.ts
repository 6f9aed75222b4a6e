import { NodeError } from "../../graph/errors.js";
import {
  type DType,
  elementCount,
  type Graph,
  isFloat,
  type Node,
  type Tensor,
  type TensorType,
} from "../../graph/graph.js";
import { callOf } from "../../ops/call.js";
import { firstOrder, lastOrder, toFirst } from "../../ops/channels-last.js";
import { fusedGraph } from "../../ops/fused.js";
import { opOf } from "../../ops/index.js";
import { normalizeAxes } from "../../ops/shapes.js";
import type { Pointer } from "../ort-api.js";
import { type NodeContext, number, numbers, type OwnNode, typeIn } from "./context.js";
import { parts } from "./source/channels.js";
import { canGenerate, fusedSource } from "./source/fused.js";
import { type KernelSource, memoryTypes } from "./source/kernel.js";
import { averagePoolSource, maxPoolGradientSource, maxPoolSource, type Pooling } from "./source/pool.js";
import { dropoutSource, randomSource, type Spread } from "./source/random.js";
import { type ReducedShape, reducedShape, reductionSource } from "./source/reduce.js";
import { scatterSource } from "./source/scatter.js";
import { turnSource } from "./source/turn.js";

/** What a fused node holds, or one node of which such a node could be made. */
function bodyOf(node: Node, graph: Pick<Graph, "tensors">): Graph {
  const types = node.inputs.map((name) => (name ? typeIn(graph, name) : undefined));
  if (opOf(node).fusible === undefined) return fusedGraph(opOf, node, types);
  const tensors = new Map<string, Tensor>();
  const inner = (names: readonly string[], letter: string): string[] =>
    names.map((name, i) => {
      if (!name) return "";
      const own = `${letter}${i}`;
      tensors.set(own, { ...typeIn(graph, name), name: own });
      return own;
    });
  const [inputs, outputs] = [inner(node.inputs, "x"), inner(node.outputs, "y")];
  const named = (names: readonly string[]): string[] => names.filter(Boolean);
  const [given, made] = [named(inputs), named(outputs)];
  return { name: node.name, nodes: [{ ...node, inputs, outputs }], tensors, inputs: given, outputs: made, state: [] };
}

/** Element-wise chains, and reductions over rows or channels with what is around them, and such nodes alone. */
export const fusedNode: OwnNode = {
  fits: (node, graph, { compiles }) => compiles && canGenerate(bodyOf(node, graph)),
  prepare(node, context) {
    const { address, cuda, graph, launcher } = context;
    const body = bodyOf(node, graph);
    const names = [...node.inputs, ...node.outputs].filter(Boolean);
    const at = new Map([...body.inputs, ...body.outputs].map((inner, i) => [inner, address(names[i] as string)]));
    const aligned = [...at.values()].every((operand) => operand % 16n === 0n);
    const { launches, partsBytes } = fusedSource(body, aligned, cuda.multiprocessors);
    let memory: Pointer = 0n;
    const steps = launches.map(({ source, operands }) =>
      launcher(source, () => operands.map((name) => (name === parts ? memory : (at.get(name) as Pointer)))),
    );
    const run = (): void => {
      for (const step of steps) step();
    };
    return partsBytes
      ? () =>
          context.workspace.withPieces([partsBytes], ([piece]) => {
            memory = piece as Pointer;
            run();
          })
      : run;
  },
};

/** A sum or mean over axes that lie before or after those that stay, of several tensors one after another. */
export const reduction: OwnNode = {
  fits: (node, graph, { compiles }) => compiles && reductionOf(node, graph) !== undefined,
  prepare(node, context) {
    const found = reductionOf(node, context.graph);
    if (!found) throw new NodeError("no kernel for such a reduction", node, { kind: "no kernel" });
    const { dtype, shape, divisor } = found;
    const [x, y] = [context.address(node.inputs[0] as string), context.address(node.outputs[0] as string)];
    const to = typeIn(context.graph, node.outputs[0]).dtype;
    const options = { to, aligned: x % 16n === 0n };
    const { multiprocessors } = context.cuda;
    const { first, second, workspaceBytes } = reductionSource(dtype, shape, divisor, multiprocessors, options);
    if (!second) return context.launcher(first, () => [x, y]);
    return inParts(context, workspaceBytes, first, second, (parts) => [
      [x, parts],
      [parts, y],
    ]);
  },
};

/** Launches two kernels, the second on what the first leaves in the workspace. */
function inParts(
  context: NodeContext,
  bytes: number,
  first: KernelSource,
  second: KernelSource,
  operands: (parts: Pointer) => [Pointer[], Pointer[]],
): () => void {
  let parts: Pointer = 0n;
  const one = context.launcher(first, () => operands(parts)[0]);
  const two = context.launcher(second, () => operands(parts)[1]);
  return () =>
    context.workspace.withPieces([bytes], ([piece]) => {
      parts = piece as Pointer;
      one();
      two();
    });
}

function reductionOf(
  node: Node,
  graph: Pick<Graph, "tensors">,
): { dtype: DType; shape: ReducedShape; divisor: number } | undefined {
  const { dtype, shape } = typeIn(graph, node.inputs[0]);
  if (!isFloat(dtype) || elementCount(shape) >= 2 ** 31 || elementCount(shape) === 0) return undefined;
  const call = callOf(node, graph.tensors);
  const given = call.inputs[1] ? call.constant(1) : (call.ints("axes") ?? []);
  if (!given) return undefined;
  const axes = normalizeAxes(given.length ? given : shape.map((_, axis) => axis), shape.length);
  const reduced = reducedShape(shape, axes);
  if (!reduced) return undefined;
  return { dtype, shape: reduced, divisor: node.op === "ReduceMean" ? reduced.before * reduced.after : 1 };
}

/** Rows added to rows of a table: the gradient of a look-up. */
export const scatterRows: OwnNode = {
  fits: (node, graph, { compiles }) => {
    const [table, index] = [typeIn(graph, node.inputs[0]), typeIn(graph, node.inputs[1])];
    const adds = node.attributes.reduction?.value === "add";
    return compiles && adds && isFloat(table.dtype) && index.dtype === "int64" && index.shape.at(-1) === 1;
  },
  prepare(node, context) {
    const [table, index] = [typeIn(context.graph, node.inputs[0]), typeIn(context.graph, node.inputs[1])];
    const width = elementCount(table.shape.slice(1));
    const [size, count] = [table.shape[0] as number, elementCount(index.shape)];
    const source = scatterSource(table.dtype, size, width, count, context.cuda.multiprocessors);
    const operands = [...node.inputs, ...node.outputs].map(context.address);
    const { first, second, workspaceBytes } = source;
    if (!second) return context.launcher(first, () => operands);
    const [before, at, rows, after] = operands as [Pointer, Pointer, Pointer, Pointer];
    return inParts(context, workspaceBytes, first, second, (parts) => [
      [before, at, rows, parts],
      [before, parts, after],
    ]);
  },
};

/** The window of a pooling node over images of that shape, channels first. */
function poolingOf(node: Node, x: TensorType, y: TensorType): Pooling {
  const kernel = numbers(node, "kernel_shape") ?? [];
  const ones = new Array<number>(kernel.length).fill(1);
  const channelsLast = opOf(node).channelsFirst !== undefined;
  const first = (shape: readonly number[]): readonly number[] => (channelsLast ? toFirst(shape) : shape);
  return {
    dtype: x.dtype,
    shape: first(x.shape),
    pooled: first(y.shape).slice(2),
    window: {
      kernel,
      strides: numbers(node, "strides") ?? ones,
      dilations: numbers(node, "dilations") ?? ones,
      pads: numbers(node, "pads") ?? new Array<number>(2 * kernel.length).fill(0),
    },
    channelsLast,
  };
}

/** Pooling by a kernel that is made for a window. */
const pool = (
  sourceOf: (pooling: Pooling, node: Node) => KernelSource,
  isWanted: (node: Node) => boolean = () => true,
): OwnNode => ({
  fits: (node, graph, { compiles }) => {
    const { dtype, shape } = typeIn(graph, node.inputs[0]);
    const isPlain =
      number(node, "storage_order", 0) === 0 && (node.attributes.auto_pad?.value ?? "NOTSET") === "NOTSET";
    const isMade = elementCount(shape) > 0 && Boolean(node.outputs[0]);
    return compiles && isFloat(dtype) && isPlain && isMade && isWanted(node);
  },
  prepare(node, context) {
    const [x, y] = [typeIn(context.graph, node.inputs[0]), typeIn(context.graph, node.outputs[0])];
    const source = sourceOf(poolingOf(node, x, y), node);
    const operands = [...node.inputs, ...node.outputs].filter(Boolean).map(context.address);
    return context.launcher(source, () => operands);
  },
});

/** Max pooling, in 16 bits too, with indices if they are read. */
export const maxPool = pool((pooling, { outputs }) => maxPoolSource(pooling, Boolean(outputs[1])));

/** Average pooling of images whose channels are last; of others by cuDNN. */
export const averagePool = pool(
  (pooling, node) => averagePoolSource(pooling, number(node, "count_include_pad", 0) !== 0),
  (node) => opOf(node).channelsFirst !== undefined,
);

/** Max pooling's gradient; without the window's attributes its body adds by index. */
export const maxPoolGradient: OwnNode = {
  fits: (node, graph, { compiles }) =>
    compiles && isFloat(typeIn(graph, node.inputs[0]).dtype) && numbers(node, "kernel_shape") !== undefined,
  prepare(node, context) {
    const [dy, dx] = [typeIn(context.graph, node.inputs[0]), typeIn(context.graph, node.outputs[0])];
    const source = maxPoolGradientSource(poolingOf(node, dx, dy));
    const operands = [...node.inputs, ...node.outputs].map(context.address);
    return context.launcher(source, () => operands);
  },
};

/** How images are turned from one order of axes to the other, as matrices; undefined for other transpositions. */
function turnOf(
  node: Node,
  graph: Pick<Graph, "tensors">,
): readonly [count: number, rows: number, columns: number] | undefined {
  const { dtype, shape } = typeIn(graph, node.inputs[0]);
  const perm = numbers(node, "perm") ?? [];
  const rank = shape.length;
  if (rank < 4 || !memoryTypes[dtype]) return undefined;
  const [n, ...rest] = shape as [number, ...number[]];
  const columns = elementCount(rest.slice(0, -1));
  if (perm.join() === lastOrder(rank).join()) return [n, rest[0] as number, elementCount(rest.slice(1))];
  return perm.join() === firstOrder(rank).join() ? [n, columns, rest.at(-1) as number] : undefined;
}

/** Images whose channels become the last axis, or axis 1 again. */
export const turnedImage: OwnNode = {
  fits: (node, graph, { compiles }) => compiles && turnOf(node, graph) !== undefined,
  prepare(node, context) {
    const matrices = turnOf(node, context.graph);
    if (!matrices) throw new NodeError("no kernel for such a transposition", node, { kind: "no kernel" });
    const { dtype } = typeIn(context.graph, node.inputs[0]);
    const operands = [node.inputs[0] as string, node.outputs[0] as string].map(context.address);
    return context.launcher(turnSource(dtype, matrices, context.cuda.multiprocessors), () => operands);
  },
};

const seedOf = (node: Node): number => Math.trunc(number(node, "seed", 0));

/** Dropout with a mask that differs from step to step, also where a captured step is replayed. */
export const dropout: OwnNode = {
  fits: (node, graph, { compiles }) =>
    compiles &&
    isFloat(typeIn(graph, node.inputs[0]).dtype) &&
    node.inputs.slice(1, 3).every((name) => !name || typeIn(graph, name).data !== undefined) &&
    callOf(node, graph.tensors).constant(2)?.[0] === 1,
  prepare(node, context) {
    const { dtype, shape } = typeIn(context.graph, node.inputs[0]);
    const ratio = callOf(node, context.graph.tensors).constant(1)?.[0] ?? 0.5;
    const operands = [node.inputs[0], ...node.outputs].filter((name): name is string => Boolean(name));
    const source = dropoutSource(dtype, elementCount(shape), ratio, seedOf(node), Boolean(node.outputs[1]));
    const addresses = [context.stepCounter, ...operands.map(context.address)];
    return context.launcher(source, () => addresses);
  },
};

/** Random numbers that differ from step to step. */
export const randomNumbers: OwnNode = {
  fits: (node, graph, { compiles }) => compiles && isFloat(typeIn(graph, node.outputs[0]).dtype),
  prepare(node, context) {
    const { dtype, shape } = typeIn(context.graph, node.outputs[0]);
    const spread: Spread = node.op.startsWith("RandomUniform")
      ? { kind: "uniform", low: number(node, "low", 0), high: number(node, "high", 1) }
      : { kind: "normal", mean: number(node, "mean", 0), scale: number(node, "scale", 1) };
    const addresses = [context.stepCounter, context.address(node.outputs[0] as string)];
    return context.launcher(randomSource(dtype, elementCount(shape), spread, seedOf(node)), () => addresses);
  },
};
