import { consumers, type Graph, type Node, producers, type Tensor, tensorBytes, tensorOf } from "../graph/graph.js";
import { shownBy } from "../memory/views.js";
import { inPlaceSlots, opOf } from "../ops/index.js";

/**
 * The graph with what a gradient is written over made in the gradient's own place in the flat buffer: the zeros to which
 * the rows of a look-up are added, the last of the gradients that are added up. Else both would be there at once. No node
 * and no bit changes.
 */
export function writeInPlace(graph: Graph): Graph {
  const made = producers(graph);
  const read = consumers(graph);
  const needed = new Set([...graph.outputs, ...graph.state.map(({ after }) => after)]);
  const tensors = new Map(graph.tensors);

  /** The node that makes a tensor, if the node at `rank` alone is who it is made for. */
  const makerFor = (name: string, rank: number): Node | undefined => {
    const readers = read.get(name) ?? [];
    const isOnly = readers.length === 1 && readers[0] === rank && !needed.has(name);
    return isOnly ? graph.nodes[made.get(name) ?? -1] : undefined;
  };
  /** What has no place yet and is made in the backward phase for one node, seen through views. */
  const freeFor = (name: string, rank: number): Tensor | undefined => {
    const maker = makerFor(name, rank);
    if (maker?.phase !== "backward") return undefined;
    const shown = shownBy(maker);
    if (shown !== undefined) return freeFor(shown, made.get(name) as number);
    const tensor = tensorOf(graph, name);
    return tensor.within || tensor.host || tensor.category === "activation" ? undefined : tensor;
  };
  /** What the maker of a gradient may write it over. */
  const source = ({ name: gradient, dtype, ...type }: Tensor): Tensor | undefined => {
    const rank = made.get(gradient) as number;
    const node = graph.nodes[rank] as Node;
    const { inputs, outputs } = node;
    if (opOf(node).inPlaceTypes?.includes(dtype) === false) return undefined;
    const sources = inPlaceSlots(node, outputs.indexOf(gradient)).flatMap((slot) => {
      const name = inputs[slot] ?? "";
      const isOnce = name !== "" && inputs.indexOf(name) === inputs.lastIndexOf(name);
      const tensor = isOnce ? freeFor(name, rank) : undefined;
      return tensor?.dtype === dtype && tensorBytes(tensor) === tensorBytes({ dtype, ...type }) ? [tensor] : [];
    });
    // the one made last: parts of a flat buffer have fixed places, about which all else must lie while they live
    const rankOf = ({ name }: Tensor): number => made.get(name) as number;
    return sources.sort((a, z) => rankOf(z) - rankOf(a))[0];
  };

  for (const first of firstsOf(graph, made))
    for (let next = source(first); next; next = source(next))
      tensors.set(next.name, { ...next, within: first.within as NonNullable<Tensor["within"]> });
  return { ...graph, tensors };
}

/** What is made first in each place of the flat buffers. */
function firstsOf(graph: Graph, made: ReadonlyMap<string, number>): Iterable<Tensor> {
  const firsts = new Map<string, Tensor>();
  for (const tensor of graph.tensors.values()) {
    const rank = made.get(tensor.name);
    const { within } = tensor;
    if (!within || rank === undefined) continue;
    const place = `${within.offsetBytes} ${within.tensor}`;
    const known = firsts.get(place);
    if (!known || rank < (made.get(known.name) as number)) firsts.set(place, tensor);
  }
  return firsts.values();
}
