import { consumers, type Graph, type Node, producers } from "./graph.js";
import { addTo } from "./lists.js";

/**
 * The part of a graph that consists of some of its nodes, in the same order: a graph again. What they read and do not
 * make is resident there; what other nodes, the graph's outputs or its state read of it is an output.
 */
export function partOf(graph: Graph, keep: (node: Node) => boolean): Graph {
  const nodes = graph.nodes.filter(keep);
  const made = new Set(nodes.flatMap(({ outputs }) => outputs));
  const used = new Set(nodes.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]));
  for (const name of [...used]) {
    const whole = graph.tensors.get(name)?.within?.tensor;
    if (whole) used.add(whole);
  }
  const state = graph.state.filter(({ after }) => made.has(after));
  for (const { before } of state) used.add(before);
  const wanted = new Set([
    ...graph.outputs,
    ...graph.state.map(({ after }) => after),
    ...graph.nodes.flatMap((node) => (keep(node) ? [] : node.inputs)),
  ]);
  const { loss, ...rest } = graph;
  return {
    ...rest,
    nodes,
    tensors: new Map([...graph.tensors].filter(([name]) => used.has(name))),
    inputs: graph.inputs.filter((name) => used.has(name)),
    outputs: [...made].filter((name) => wanted.has(name)),
    state,
    ...(loss !== undefined && made.has(loss) ? { loss } : {}),
  };
}

/**
 * The node itself, the nodes that it is made from and those that are made from it, up to `distance` steps away. Who
 * reads a flat buffer reads all its parts.
 */
export function neighbours(graph: Graph, node: Node, distance: number): Set<Node> {
  const makers = producers(graph);
  const readers = consumers(graph);
  const parts = new Map<string, string[]>();
  for (const { name, within } of graph.tensors.values()) if (within) addTo(parts, within.tensor, name);
  const before = ({ inputs }: Node): (number | undefined)[] =>
    inputs.flatMap((name) => [name, ...(parts.get(name) ?? [])].map((part) => makers.get(part)));
  const after = ({ outputs }: Node): (number | undefined)[] =>
    outputs.flatMap((name) => [
      ...(readers.get(name) ?? []),
      ...(readers.get(graph.tensors.get(name)?.within?.tensor ?? "") ?? []),
    ]);
  const found = new Set([node]);
  for (const next of [before, after]) {
    let front = [node];
    for (let step = 0; step < distance; step++) {
      const reached = new Set(front.flatMap(next).flatMap((rank) => (rank === undefined ? [] : [graph.nodes[rank]])));
      front = [...reached].filter((other): other is Node => other !== undefined);
      for (const other of front) found.add(other);
    }
  }
  return found;
}
