import {
  bytesPerElement,
  consumers,
  elementCount,
  type Graph,
  type Node,
  producers,
  tensorOf,
} from "../graph/graph.js";
import { callOf } from "../ops/call.js";
import { opOf } from "../ops/index.js";
import { normalizeAxes } from "../ops/shapes.js";
import { fusible } from "./fusible.js";
import { type Role, shapeOf, withLongerRows } from "./long-rows.js";
import { isProduct, turned } from "./products.js";

/** The fast kernels of matrix products want rows that start at multiples of so many bytes. */
const rowBytes = 16;

/** Products with fewer operations take less time than what surrounds them. */
const leastFlops = 2e10;

/** What is known of where tensors are made and read. */
interface Uses {
  readonly graph: Graph;
  readonly made: ReadonlyMap<string, number>;
  readonly read: ReadonlyMap<string, readonly number[]>;
  /** Tensors that must stay as they are. */
  readonly kept: ReadonlySet<string>;
}

/** Everything that has the rows of one product: tensors by name, and the nodes that read them. */
interface Rows {
  readonly size: number;
  readonly tensors: ReadonlySet<string>;
  /** How each node that makes or reads one is written anew, by its rank. */
  readonly nodes: ReadonlyMap<number, Role>;
}

/**
 * The graph with the rows of large products made a multiple of 16 bytes long, where their length is none, and all that is
 * done with them until a reduction or another product, with the columns that are added left out of every sum. A
 * vocabulary of 50 257 classes makes its three products two to seven times as slow as one of 50 264. The sums are the
 * same; products may add them up in another order. For runtimes that fuse: the masks are parts of fused nodes. Products of
 * fewer than `least` operations are left alone.
 */
export function alignRows(graph: Graph, least = leastFlops): Graph {
  const uses: Uses = {
    graph,
    made: producers(graph),
    read: consumers(graph),
    kept: new Set([...graph.outputs, ...graph.state.map(({ after }) => after)]),
  };
  const roles = new Map<number, Role>();
  const wide = new Set<string>();
  graph.nodes.forEach((node, rank) => {
    const rows = isSource(node, graph, least) && !roles.has(rank) ? rowsFrom(uses, rank) : undefined;
    // of two products whose rows meet in one node, one alone is made longer
    if (!rows || [...rows.nodes.keys()].some((other) => roles.has(other))) return;
    for (const [other, role] of rows.nodes) roles.set(other, role);
    for (const name of rows.tensors) wide.add(name);
  });
  return roles.size ? withLongerRows(graph, roles, wide) : graph;
}

/** Whether a node is a large product of a matrix whose rows do not start where they should. */
function isSource(node: Node, graph: Graph, least: number): boolean {
  if (!isProduct(node)) return false;
  const [a, b, y] = [node.inputs[0], node.inputs[1], node.outputs[0]].map((name) => tensorOf(graph, name as string));
  if (!a || !b || !y || b.shape.length !== 2 || a.shape.length < 2) return false;
  const isOdd = ((y.shape.at(-1) as number) * bytesPerElement(y.dtype)) % rowBytes !== 0;
  const inner = b.shape[turned(node, 1) ? 1 : 0] as number;
  return isOdd && 2 * elementCount(y.shape) * inner >= least;
}

/** All that has the rows that a product makes; undefined if some node cannot do with longer ones. */
function rowsFrom(uses: Uses, start: number): Rows | undefined {
  const { graph, made, read } = uses;
  const source = graph.nodes[start] as Node;
  const size = shapeOf(graph, source.outputs[0] as string).at(-1) as number;
  const tensors = new Set<string>();
  const nodes = new Map<number, Role>([[start, "source"]]);
  const waiting = [source.outputs[0] as string];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (tensors.has(name)) continue;
    if (!isFree(uses, name)) return undefined;
    tensors.add(name);
    for (const rank of read.get(name) ?? []) {
      const node = graph.nodes[rank] as Node;
      const role = roleOf(node, name, size, graph);
      if (!role || (nodes.has(rank) && nodes.get(rank) !== role)) return undefined;
      nodes.set(rank, role);
      if (role === "inside") waiting.push(node.outputs[0] as string);
    }
    // what is made for nothing else is made longer too
    for (const rank of [made.get(name) as number])
      if (rank !== start && !opOf(graph.nodes[rank] as Node).view)
        for (const other of (graph.nodes[rank] as Node).inputs) {
          const maker = made.get(other);
          if (maker === undefined || tensors.has(other) || !isMadeFor(uses, other, size)) continue;
          nodes.set(maker, "inside");
          waiting.push(other);
        }
  }
  // a node that reads rows of this kind twice, and not each as what it is to the other
  for (const [rank, role] of nodes)
    if (role === "contracts" || role === "passes")
      if ((graph.nodes[rank] as Node).inputs.filter((name) => tensors.has(name)).length > 1) return undefined;
  return { size, tensors, nodes };
}

/** Whether a tensor may have another shape. */
const isFree = ({ graph, kept }: Uses, name: string): boolean => !kept.has(name) && !tensorOf(graph, name).within;

/** Whether a tensor with such rows is made element by element, and can be longer for all who read it. */
function isMadeFor(uses: Uses, name: string, size: number): boolean {
  const { graph, made, read } = uses;
  const how = fusible(graph.nodes[made.get(name) as number] as Node, graph);
  return (
    isFree(uses, name) &&
    how?.reducedAxes === 0 &&
    how.shape.length > 1 &&
    how.shape.at(-1) === size &&
    (read.get(name) ?? []).every((rank) => roleOf(graph.nodes[rank] as Node, name, size, graph) === "inside")
  );
}

/** What a node that reads rows is to them; undefined if it wants them as they are. */
function roleOf(node: Node, name: string, size: number, graph: Graph): Role | undefined {
  const { inputs, outputs } = node;
  const out = outputs.length === 1 ? shapeOf(graph, outputs[0] as string) : undefined;
  if (!out) return undefined;
  const slot = inputs.indexOf(name);
  if (isProduct(node)) {
    if (slot > 1 || inputs[2] || shapeOf(graph, inputs[1 - slot] as string).length < 2) return undefined;
    if (shapeOf(graph, name).length !== 2) return undefined;
    return turned(node, slot as 0 | 1) === (slot === 0) ? "passes" : "contracts";
  }
  if (opOf(node).view) return slot === 0 && out.at(-1) === size && out.length > 0 ? "inside" : undefined;
  const how = fusible(node, graph);
  if (how?.reducedAxes === 1 && how.shape.at(-1) === size)
    return opOf(node).neutral === undefined ? undefined : "reduces";
  if (how && !how.reducedAxes) return out.at(-1) === size && out.length > 1 ? "inside" : undefined;
  return sumsRows(node, graph) ? "passes" : undefined;
}

/** Whether a node adds up rows and keeps their columns: the gradient of a bias. */
function sumsRows(node: Node, graph: Graph): boolean {
  if (opOf(node).fusible !== "rows") return false;
  const call = callOf(node, graph.tensors);
  const rank = call.input(0).shape.length;
  const given = call.inputs[1] ? call.constant(1) : call.ints("axes");
  return Boolean(given?.length) && !normalizeAxes(given as readonly number[], rank).includes(rank - 1);
}
