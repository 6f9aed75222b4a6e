import { Builder } from "../build/build.js";
import {
  bytesPerElement,
  consumers,
  elementCount,
  type Graph,
  int,
  type Node,
  prune,
  tensorOf,
} from "../graph/graph.js";
import { callOf } from "../ops/call.js";
import { opOf } from "../ops/index.js";
import type { Cut } from "../ops/op.js";
import { reshape } from "../ops/shapes.js";

/** Kernels expect tensors to begin at multiples of so many bytes. */
const alignBytes = 256;

/**
 * The graph with the parts that are taken of a tensor shown where they lie instead of copied, if they are rows of its first
 * axis of more than one (Q, K and V of one product, joined in front): they are views then. Only where the parts are no
 * less than the tensor: else the whole would stay in memory for a piece of it.
 */
export function showRows(graph: Graph): Graph {
  const read = consumers(graph);
  const kept = new Set([...graph.outputs, ...graph.state.map(({ after }) => after)]);
  const isFree = (name: string): boolean => !kept.has(name) && !tensorOf(graph, name).within;
  /** For the nodes that take rows of a tensor, the rows of each output. */
  const taken = new Map<Node, readonly Cut[]>();
  const taking = new Map<string, Node[]>();
  for (const node of graph.nodes) {
    const rows = node.outputs.every((name) => name && isFree(name)) ? rowsOf(node, graph) : undefined;
    if (!rows) continue;
    const [name = ""] = node.inputs;
    taken.set(node, rows);
    taking.set(name, [...(taking.get(name) ?? []), node]);
  }
  const sizeOf = (name: string): number => elementCount(tensorOf(graph, name).shape);
  for (const [name, nodes] of taking) {
    const all = nodes.flatMap(({ outputs }) => outputs).filter((output) => read.has(output));
    if (all.reduce((sum, output) => sum + sizeOf(output), 0) < sizeOf(name))
      for (const node of nodes) taken.delete(node);
  }
  if (!taken.size) return graph;
  const b = new Builder(graph, false);
  b.reserve(graph.nodes);
  for (const node of graph.nodes) {
    const rows = taken.get(node);
    if (rows) for (const [i, cut] of rows.entries()) show(b, node, cut, i);
    else b.append(node);
  }
  return prune({ ...graph, nodes: b.nodes, tensors: b.tensors });
}

/** For each output of a node, which rows of its input it holds; undefined if that is not all that it does. */
function rowsOf(node: Node, graph: Graph): readonly Cut[] | undefined {
  const { takes } = opOf(node);
  const taken = takes?.(callOf(node, graph.tensors));
  const { dtype, shape, host } = tensorOf(graph, node.inputs[0] as string);
  if (!taken || host) return undefined;
  const rows = taken.map((cuts) => {
    const parts = cuts.filter(({ axis, start, step, count }) => start !== 0 || step !== 1 || count !== shape[axis]);
    const [cut = { axis: 0, start: 0, step: 1, count: shape[0] as number }] = parts;
    const bytes = cut.start * elementCount(shape.slice(cut.axis + 1)) * bytesPerElement(dtype);
    const isFront = shape.slice(0, cut.axis).every((size) => size === 1);
    return parts.length < 2 && cut.step === 1 && cut.count > 0 && isFront && bytes % alignBytes === 0 ? cut : undefined;
  });
  return rows.every((cut) => cut !== undefined) ? rows : undefined;
}

/** Adds the views that show some rows as an output of a node. */
function show(b: Builder, node: Node, { axis, start, count }: Cut, index: number): void {
  Object.assign(b, { phase: node.phase, scope: node.name, category: "activation" });
  const output = node.outputs[index] as string;
  const wanted = b.type(output).shape;
  const x = node.inputs[0] as string;
  const front = reshape(b, x, b.type(x).shape.slice(axis));
  const rows = { start: int(start), count: int(count) };
  const shape = [count, ...b.type(front).shape.slice(1)];
  if (shape.join() === wanted.join()) {
    b.op("Rows", [front], rows, { domain: "mutwo", outputs: [output] });
    return;
  }
  const shown = b.op("Rows", [front], rows, { domain: "mutwo" });
  b.add("Reshape", [shown, b.vector(wanted)], {}, { outputs: [output] });
}
