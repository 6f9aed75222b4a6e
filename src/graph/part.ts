import { consumers, type Graph, type Node, producers } from "./graph.js";

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
  for (const { name, within } of graph.tensors.values())
    if (within) parts.set(within.tensor, [...(parts.get(within.tensor) ?? []), name]);
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

/**
 * The node of that name, or the one that makes the tensor of that name. Throws `unknown node: … (nearest: …)`, or that
 * no node makes the tensor.
 */
export function nodeNamed(graph: Graph, name: string): Node {
  const node = graph.nodes.find((other) => other.name === name) ?? graph.nodes[producers(graph).get(name) ?? -1];
  if (node) return node;
  const tensor = graph.tensors.get(name);
  if (tensor) throw new Error(`no node makes the ${tensor.category}: ${name}`);
  const names = graph.nodes.flatMap((other) => [other.name, ...other.outputs.filter(Boolean)]);
  throw new Error(`unknown node: ${name} (nearest: ${nearest(name, new Set(names)).join(", ")})`);
}

/** The three names most like a word: those that contain it first, then by the letters to be changed. */
function nearest(word: string, names: Iterable<string>): string[] {
  const wanted = word.toLowerCase();
  const rated = [...names].map((name): [string, number] => {
    const candidate = name.toLowerCase();
    const contains = wanted !== "" && candidate.includes(wanted);
    return [name, contains ? (candidate.length - wanted.length) / 1e6 : 1 + lettersToChange(wanted, candidate)];
  });
  return rated
    .sort(([, a], [, z]) => a - z)
    .slice(0, 3)
    .map(([name]) => name);
}

/** Levenshtein's distance: letters to insert, remove or replace. */
function lettersToChange(a: string, z: string): number {
  let row = Array.from({ length: z.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= z.length; j++)
      next.push(
        Math.min(
          (row[j] as number) + 1,
          (next[j - 1] as number) + 1,
          (row[j - 1] as number) + (a[i - 1] === z[j - 1] ? 0 : 1),
        ),
      );
    row = next;
  }
  return row[z.length] as number;
}
