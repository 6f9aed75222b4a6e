import { consumers, type Graph, type Node, producers, type Tensor, tensorBytes, tensorOf } from "../graph/graph.js";
import { opOf } from "../ops/index.js";
import { fusible } from "./fusible.js";
import { Network } from "./min-cut.js";

/** Longest chain of ops that is computed again inside a fused node. */
const deepest = 10;

/** Smallest tensor that is made again as a node of its own, bytes: below, a launch costs more than the copy is worth. */
const leastBytes = 4 * 2 ** 20;

/**
 * The graph with element-wise forward results computed again where backward nodes read them, instead of saved, wherever
 * that saves memory: the copies stand right before their reader, so that fusing makes them part of it and they cost no
 * memory of their own; for a reader that cannot be fused (a matrix product) a large tensor is made again from what is
 * kept anyway. Which tensors are saved is a minimum cut between what cannot be computed again and what the
 * backward phase reads, with bytes as capacities (as in PyTorch's partitioner, Chen et al.: min-cut rematerialization).
 */
export function rematerialize(graph: Graph): Graph {
  const made = producers(graph);
  const read = consumers(graph);
  const node = (rank: number): Node => graph.nodes[rank] as Node;
  const isForward = (rank: number): boolean => node(rank).phase === "forward" || node(rank).phase === "loss";
  const state = new Set(graph.state.flatMap(({ before, after }) => [before, after]));
  const depth = new Map<string, number>();
  const forward = graph.nodes.flatMap((one, rank) => (isForward(rank) ? one.outputs.filter(Boolean) : []));
  const viewed = new Set(
    graph.nodes.flatMap((one, rank) => (opOf(one).view && isForward(rank) ? [one.inputs[0] as string] : [])),
  );
  const shapeOf = (name: string): string => tensorOf(graph, name).shape.join();

  /** Whether a tensor can be a part of every fused node that needs it. */
  const repeatable = new Set<string>();
  for (const name of forward) {
    const rank = made.get(name) as number;
    const one = node(rank);
    const how = fusible(one, graph);
    if (!how || how.reducedAxes || viewed.has(name) || state.has(name) || graph.outputs.includes(name)) continue;
    if (
      one.inputs.some((input) => state.has(input) && !made.has(input) && tensorOf(graph, input).category === "buffer")
    )
      continue;
    const readers = (read.get(name) ?? []).filter((reader) => !isForward(reader));
    const shape = shapeOf(name);
    // a reader that cannot take the chain in gets it as a node of its own, which is worth its time for large tensors only
    const isFree = readers.every((reader) => fusible(node(reader), graph)?.shape.join() === shape);
    if (!isFree && tensorBytes(tensorOf(graph, name)) < leastBytes) continue;
    const level = 1 + Math.max(0, ...one.inputs.map((input) => depth.get(input) ?? 0));
    if (level > deepest) continue;
    depth.set(name, level);
    repeatable.add(name);
  }
  // a chain must keep one shape: what another shape is made from is saved
  for (const name of [...repeatable].reverse()) {
    const shape = shapeOf(name);
    const onward = (read.get(name) ?? []).map((rank) => node(rank).outputs[0] as string);
    if (onward.some((output) => repeatable.has(output) && shapeOf(output) !== shape)) repeatable.delete(name);
  }

  const network = new Network();
  const [source, sink] = [network.vertex(), network.vertex()];
  const into = new Map<string, number>();
  const outOf = new Map<string, number>();
  for (const name of forward) {
    if (opOf(node(made.get(name) as number)).view) continue;
    into.set(name, network.vertex());
    outOf.set(name, network.vertex());
  }
  /** The tensor whose storage a tensor shows. */
  const root = (name: string): string => {
    const rank = made.get(name);
    return rank !== undefined && opOf(node(rank)).view ? root(node(rank).inputs[0] as string) : name;
  };
  for (const [name, start] of into) {
    const end = outOf.get(name) as number;
    network.edge(start, end, tensorBytes(tensorOf(graph, name)));
    if (!repeatable.has(name)) network.edge(source, start, Number.POSITIVE_INFINITY);
    else
      for (const input of node(made.get(name) as number).inputs) {
        const from = input ? outOf.get(root(input)) : undefined;
        if (from !== undefined) network.edge(from, start, Number.POSITIVE_INFINITY);
      }
  }
  for (const [name, ranks] of read) {
    const end = outOf.get(root(name));
    const needed = ranks.some((rank) => !isForward(rank) && !opOf(node(rank)).view);
    if (end !== undefined && needed) network.edge(end, sink, Number.POSITIVE_INFINITY);
  }
  const reaching = network.cut(source, sink);
  const again = (name: string): boolean => repeatable.has(name) && reaching.has(into.get(name) as number);

  const tensors = new Map(graph.tensors);
  let copies = 0;
  const nodes = graph.nodes.flatMap((one, rank): Node[] => {
    if (isForward(rank) || !one.inputs.some((name) => again(name))) return [one];
    const before: Node[] = [];
    const local = new Map<string, string>();
    const copyOf = (name: string): string => {
      if (!name || !again(name)) return name;
      const known = local.get(name);
      if (known) return known;
      const original = node(made.get(name) as number);
      const inputs = original.inputs.map(copyOf);
      const copy = `${name}@again${++copies}`;
      tensors.set(copy, { ...(tensorOf(graph, name) as Tensor), name: copy, category: "temporary" });
      local.set(name, copy);
      before.push({ ...original, name: `${original.name}@again${copies}`, inputs, outputs: [copy], phase: one.phase });
      return copy;
    };
    const reader = { ...one, inputs: one.inputs.map(copyOf) };
    return [...before, reader];
  });
  return { ...graph, nodes, tensors };
}
