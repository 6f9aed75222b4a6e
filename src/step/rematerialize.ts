import {
  consumers,
  type Graph,
  isForward,
  type Node,
  producers,
  type Tensor,
  tensorBytes,
  tensorOf,
} from "../graph/graph.js";
import { againName } from "../graph/names.js";
import { originOf, shownBy } from "../memory/views.js";
import { opOf } from "../ops/index.js";
import { fusible } from "./fusible.js";
import { Network } from "./min-cut.js";

/** Longest chain of ops that is computed again inside a fused node. */
const deepest = 10;

/** Smallest tensor that is made again as a node of its own, bytes: below, a launch costs more than the copy is worth. */
const leastBytes = 4 * 2 ** 20;

/** Readers that are no further apart share what is made again as a node of its own. */
const nearRanks = 64;

/** A training step with who makes and who reads each tensor. */
interface Uses {
  readonly graph: Graph;
  readonly made: ReadonlyMap<string, number>;
  readonly read: ReadonlyMap<string, readonly number[]>;
  /** Tensors made before the backward phase, in the order in which they are made. */
  readonly forward: readonly string[];
}

const nodeAt = (graph: Graph, rank: number): Node => graph.nodes[rank] as Node;

const makerOf = ({ graph, made }: Uses, name: string): Node => nodeAt(graph, made.get(name) as number);

/** Those readers of a tensor that belong to the backward phase or the update. */
const laterReaders = ({ graph, read }: Uses, name: string): Node[] =>
  (read.get(name) ?? []).map((rank) => nodeAt(graph, rank)).filter(({ phase }) => !isForward(phase));

/**
 * The graph with element-wise forward results computed again where backward nodes read them, instead of saved, wherever
 * that saves memory: the copies stand right before their reader, so that fusing makes them part of it and they cost no
 * memory of their own; for a reader that cannot be fused (a matrix product) a large tensor is made again from what is
 * kept anyway. Which tensors are saved is a minimum cut between what cannot be computed again and what the
 * backward phase reads, with bytes as capacities (as in PyTorch's partitioner, Chen et al.: min-cut rematerialization).
 */
export function rematerialize(graph: Graph): Graph {
  const uses: Uses = {
    graph,
    made: producers(graph),
    read: consumers(graph),
    forward: graph.nodes.flatMap(({ phase, outputs }) => (isForward(phase) ? outputs.filter(Boolean) : [])),
  };
  return withCopies(uses, cheapest(uses, repeatables(uses)));
}

/** The tensors that can be a part of every fused node that needs them. */
function repeatables(uses: Uses): Set<string> {
  const { graph, made, read, forward } = uses;
  const shapeOf = (name: string): string => tensorOf(graph, name).shape.join();
  const state = new Set(graph.state.flatMap(({ before, after }) => [before, after]));
  const shown = new Set(graph.nodes.flatMap((node) => (isForward(node.phase) ? (shownBy(node) ?? []) : [])));
  const isRenewed = (name: string): boolean =>
    state.has(name) && !made.has(name) && tensorOf(graph, name).category === "buffer";
  const depth = new Map<string, number>();
  /**
   * What batch norms are part of: in convolution networks these are most of all memory, of which a pass more is a tenth
   * of the step.
   */
  const normed = new Set<string>();
  for (const name of forward) {
    const node = makerOf(uses, name);
    const how = fusible(node, graph);
    if (!how || how.reducedAxes || how.overChannels || shown.has(name) || state.has(name)) continue;
    if (graph.outputs.includes(name)) continue;
    if (node.inputs.some(isRenewed)) continue;
    // a reader that cannot take the chain in gets it as a node of its own, which is worth its time for large tensors only
    const isFree = laterReaders(uses, name).every((reader) => fusible(reader, graph)?.shape.join() === shapeOf(name));
    if (opOf(node).channelInputs || node.inputs.some((input) => normed.has(input))) normed.add(name);
    if (!isFree && (normed.has(name) || tensorBytes(tensorOf(graph, name)) < leastBytes)) continue;
    const level = 1 + Math.max(0, ...node.inputs.map((input) => depth.get(input) ?? 0));
    if (level <= deepest) depth.set(name, level);
  }
  // a chain must keep one shape: what another shape is made from is saved
  const repeatable = new Set(depth.keys());
  for (const name of [...repeatable].reverse()) {
    const onward = (read.get(name) ?? []).map((rank) => nodeAt(graph, rank).outputs[0] as string);
    if (onward.some((output) => repeatable.has(output) && shapeOf(output) !== shapeOf(name))) repeatable.delete(name);
  }
  return repeatable;
}

/**
 * Which of the repeatable tensors are computed again so that the fewest bytes are saved. Each tensor that has a storage
 * is an edge with its bytes as capacity. Flow comes from all that cannot be computed again, through what a repeatable
 * tensor is made from, to what later phases read: the cut edges are what is saved.
 */
function cheapest(uses: Uses, repeatable: ReadonlySet<string>): Set<string> {
  const { graph, read, forward } = uses;
  const origin = originOf(graph);
  const network = new Network();
  const [source, sink] = [network.vertex(), network.vertex()];
  const edges = new Map(
    forward
      .filter((name) => !opOf(makerOf(uses, name)).view)
      .map((name) => [name, { start: network.vertex(), end: network.vertex() }]),
  );
  for (const [name, { start, end }] of edges) {
    network.edge(start, end, tensorBytes(tensorOf(graph, name)));
    if (!repeatable.has(name)) network.edge(source, start, Number.POSITIVE_INFINITY);
    else
      for (const input of makerOf(uses, name).inputs) {
        const from = edges.get(origin(input));
        if (from) network.edge(from.end, start, Number.POSITIVE_INFINITY);
      }
  }
  for (const name of read.keys()) {
    const edge = edges.get(origin(name));
    const isNeeded = laterReaders(uses, name).some((reader) => !opOf(reader).view);
    if (edge && isNeeded) network.edge(edge.end, sink, Number.POSITIVE_INFINITY);
  }
  const reaching = network.cut(source, sink);
  return new Set([...repeatable].filter((name) => reaching.has(edges.get(name)?.start as number)));
}

/** The graph with copies of these tensors' nodes before every later node that reads them. */
function withCopies(uses: Uses, again: ReadonlySet<string>): Graph {
  const { graph } = uses;
  const tensors = new Map(graph.tensors);
  let copies = 0;
  /** Copies for readers that cannot take the chain in, with the rank of the last of those. */
  const shared = new Map<string, { copy: string; phase: string; rank: number }>();
  const nodes = graph.nodes.flatMap((reader, rank): Node[] => {
    if (isForward(reader.phase) || !reader.inputs.some((name) => again.has(name))) return [reader];
    const before: Node[] = [];
    const local = new Map<string, string>();
    const { phase } = reader;
    const sharedOf = (name: string): string => {
      const known = again.has(name) ? shared.get(name) : undefined;
      const isNear = known?.phase === phase && rank - known.rank <= nearRanks;
      const copy = isNear ? known.copy : copyOf(name);
      if (again.has(name)) shared.set(name, { copy, phase, rank });
      return copy;
    };
    const copyOf = (name: string): string => {
      if (!again.has(name)) return name;
      const known = local.get(name);
      if (known) return known;
      const original = makerOf(uses, name);
      const inputs = original.inputs.map(copyOf);
      copies++;
      const copy = againName(name, copies);
      tensors.set(copy, { ...(tensorOf(graph, name) as Tensor), name: copy, category: "temporary" });
      local.set(name, copy);
      const node = {
        ...original,
        name: againName(original.name, copies),
        inputs,
        outputs: [copy],
        phase,
      };
      before.push(node);
      return copy;
    };
    const changed = { ...reader, inputs: reader.inputs.map(fusible(reader, graph) ? copyOf : sharedOf) };
    return [...before, changed];
  });
  return { ...graph, nodes, tensors };
}
