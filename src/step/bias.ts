import { Builder } from "../build/build.js";
import { consumers, type Graph, type Node, tensorBytes, tensorOf } from "../graph/graph.js";
import { opOf } from "../ops/index.js";

/** Below, a launch costs more than what is saved, bytes. */
const leastBytes = 4 * 2 ** 20;

/**
 * The graph with the vectors that products of matrices add to each row (`addend` of their op) added by nodes of their own,
 * behind the views that show the result: fused with what comes next they cost nothing, while a product first copies them
 * to every row of its result and then reads that again. The same sum of the same numbers; of 16-bit types it is rounded
 * once more. Products whose result takes fewer than `least` bytes are left alone.
 */
export function separateBiases(
  graph: Graph,
  hasKernel: (node: Node, graph: Pick<Graph, "tensors">) => boolean,
  least = leastBytes,
): Graph {
  const read = consumers(graph);
  const kept = new Set([...graph.outputs, ...graph.state.map(({ after }) => after)]);
  const isFree = (name: string): boolean => !kept.has(name) && !tensorOf(graph, name).within;

  /** Ranks of the views behind a node that show its result to everybody, with its columns. */
  const viewsBehind = (rank: number): number[] => {
    const views: number[] = [];
    for (let at = rank; ; ) {
      const [name = ""] = (graph.nodes[at] as Node).outputs;
      const [next, ...others] = read.get(name) ?? [];
      const view = next === undefined || others.length || !isFree(name) ? undefined : graph.nodes[next];
      const shapes = view && [name, view.outputs[0] as string].map((one) => tensorOf(graph, one).shape.at(-1));
      if (!view || !opOf(view).view || !shapes || shapes[0] !== shapes[1]) return views;
      views.push(next as number);
      at = next as number;
    }
  };

  /** For the node that makes each sum, the vector that is added behind it. */
  const behind = new Map<number, string>();
  const bare = new Map<number, Node>();
  graph.nodes.forEach((node, rank) => {
    const slot = opOf(node).addend?.(node);
    const bias = slot === undefined ? "" : (node.inputs[slot] ?? "");
    const [result = ""] = node.outputs;
    if (!bias || !isFree(result) || tensorBytes(tensorOf(graph, result)) < least) return;
    const columns = tensorOf(graph, result).shape.at(-1);
    const { shape } = tensorOf(graph, bias);
    if (shape.at(-1) !== columns || shape.slice(0, -1).some((n) => n !== 1)) return;
    const last = viewsBehind(rank).at(-1) ?? rank;
    const [sum = ""] = (graph.nodes[last] as Node).outputs;
    if (!isFree(sum) || !hasKernel(adding(sum, bias, sum, node), graph)) return;
    bare.set(rank, { ...node, inputs: node.inputs.slice(0, slot) });
    behind.set(last, bias);
  });
  if (!bare.size) return graph;

  const b = new Builder(graph, false);
  graph.nodes.forEach((given, rank) => {
    const node = bare.get(rank) ?? given;
    const bias = behind.get(rank);
    const [sum = ""] = node.outputs;
    if (bias === undefined) {
      b.append(node);
      return;
    }
    const product = b.declare({ ...b.type(sum), name: b.fresh(`${sum}.product`) });
    b.append({ ...node, outputs: [product] });
    b.append({ ...adding(product, bias, sum, node), name: b.fresh(`${node.name}/Add`) });
  });
  return { ...graph, nodes: b.nodes, tensors: b.tensors };
}

const adding = (product: string, bias: string, sum: string, { phase, name }: Node): Node => ({
  name,
  domain: "",
  op: "Add",
  inputs: [product, bias],
  outputs: [sum],
  attributes: {},
  phase,
});
