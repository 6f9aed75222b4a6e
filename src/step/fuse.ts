import { consumers, elementCount, type Graph, is16Bit, type Node, prune, tensorOf } from "../graph/graph.js";
import { originOf } from "../graph/origin-of.js";
import { commonPath } from "../graph/origins.js";
import { peakBytes } from "../memory/liveness.js";
import { opOf } from "../ops/index.js";
import { type Group, write } from "./fused-node.js";
import { groupsOf, sourcesOf } from "./groups.js";
import { inline } from "./inline.js";
import { order, passesOf } from "./order.js";
import { rematerialize } from "./rematerialize.js";

/** How much the peak may rise for the sake of speed: fused nodes take all their inputs at once. */
const mostRise = 1.05;

/**
 * The graph with chains of element-wise nodes and of reductions over the last axes made one node each, within a phase.
 * Values that stay inside a fused node take no memory. What the backward phase would read of a forward chain it computes
 * again inside its own fused nodes where that saves memory (rematerialize.ts). Results are those of the same ops in the
 * same order. Returns the graph itself where fusing would raise
 * the peak by more than 5 %.
 */
export function fuse(graph: Graph): Graph {
  const fused = [rematerialize(graph), graph].map((source) => group(source));
  const best = fused.reduce((a, z) => (peakBytes(z) < peakBytes(a) ? z : a));
  return peakBytes(best) <= mostRise * peakBytes(graph) ? best : graph;
}

/** Elements from which on a kernel's time is that of its memory. */
const leastAlone = 2 ** 18;

/**
 * Whether a node by itself is faster as a generated kernel: ONNX Runtime's kernels that broadcast take a thread for each
 * element, which in 16 bits is half of what the memory gives (an Add of a bias: 1.3 of 2.4 TB/s on an H100).
 */
function isSlowAlone(node: Node, graph: Graph): boolean {
  const { pointwise, fusible } = opOf(node);
  const [result] = node.outputs.map((name) => tensorOf(graph, name));
  if (!pointwise || fusible !== "elements" || !result || !is16Bit(result.dtype)) return false;
  const counts = node.inputs.filter(Boolean).map((name) => elementCount(tensorOf(graph, name).shape));
  const count = elementCount(result.shape);
  return count >= leastAlone && counts.some((one) => one > 1 && one < count);
}

/** Groups the fusible nodes of a graph and writes each group as one node. */
function group(given: Graph): Graph {
  const { graph, groupOf: all } = inline(given, groupsOf(given, sourcesOf(given), passesOf(given)));
  const isWorth = ({ members }: Group): boolean =>
    members.length > 1 || isSlowAlone(graph.nodes[members[0] as number] as Node, graph);
  const groupOf = new Map([...all].filter(([, one]) => isWorth(one)));
  const read = consumers(graph);
  const written = new Map<Group, Node>();
  for (const one of new Set(groupOf.values())) written.set(one, write(graph, one, leavesOf(graph, read, one)));
  const nodes = order(graph, sourcesOf(graph), passesOf(graph), groupOf, written);
  return prune({ ...graph, nodes, ...originsOfFused(graph, written) });
}

/** The origins with fused nodes in the module that holds all their parts, where that is not the one of their name. */
function originsOfFused({ origins, nodes }: Graph, written: ReadonlyMap<Group, Node>): Pick<Graph, "origins"> {
  if (!origins) return {};
  const fused = [...written].flatMap(([{ members }, { name }]): (readonly [string, string])[] => {
    const paths = members.flatMap((rank) => originOf(origins, nodes[rank]?.name ?? "")?.module ?? []);
    const whole = paths.length ? paths.reduce(commonPath) : undefined;
    return whole === undefined || whole === originOf(origins, name)?.module ? [] : [[name, whole]];
  });
  return fused.length ? { origins: { ...origins, fused: [...(origins.fused ?? []), ...fused] } } : {};
}

/** Says which results of a group's members are read outside of it, or must be there when the step ends. */
function leavesOf(graph: Graph, read: ReadonlyMap<string, readonly number[]>, { members }: Group) {
  const inside = new Set(members);
  const outputs = new Set([...graph.outputs, ...graph.state.map(({ after }) => after)]);
  return (name: string): boolean =>
    outputs.has(name) ||
    tensorOf(graph, name).within !== undefined ||
    (read.get(name) ?? []).some((rank) => !inside.has(rank));
}
