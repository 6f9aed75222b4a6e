import { consumers, type Graph, type Node, producers, prune, type Tensor, tensorOf } from "../graph/graph.js";
import { placedWith } from "../graph/lanes.js";
import { greatest, least } from "../graph/lists.js";
import { perObject } from "../graph/memo.js";
import { nextName, type SwapPart, shiftedName } from "../graph/names.js";
import { homes } from "../memory/homes.js";
import { type StateUses, stateUses } from "../memory/state-uses.js";
import type { StatePlacement } from "./plan.js";
import { slicesOf, sliceUpdates } from "./sliced-update.js";
import { FreeNames, Insertions, swapOps } from "./swap.js";

/** Ranks of a state's uses, and those of the nodes before which its copies begin and are awaited. */
interface Hosted extends StateUses {
  readonly name: string;
  /** The state that it is a slice of. */
  readonly whole?: string;
  readonly prefetch: number;
  readonly outDone: number;
}

/** The states by rank. Throws where a placement contradicts the uses. */
function hostedOf(graph: Graph, placements: readonly StatePlacement[]): Hosted[] {
  const known = stateUses(graph);
  const ranks = new Map(graph.nodes.map((node, rank) => [node.name, rank]));
  const seen = new Set<string>();
  return placements.flatMap(({ state: name, prefetch: into, outDone: out, sliced }) => {
    const uses = known.get(name);
    if (!uses || homes(graph).has(name) || uses.isOutput) throw new Error(`no state that can leave: ${name}`);
    if (seen.has(name)) throw new Error(`two decisions: ${name}`);
    seen.add(name);
    if (sliced) return slicedOf(graph, name);
    const rankOf = (node: string): number => {
      const rank = ranks.get(node);
      if (rank === undefined) throw new Error(`unknown node: ${node} (state ${name})`);
      return rank;
    };
    const prefetch = into === undefined ? uses.first : rankOf(into);
    const outDone = out === undefined ? uses.last + 1 : out === null ? graph.nodes.length : rankOf(out);
    if (prefetch > uses.first || outDone <= uses.last)
      throw new Error(
        `copies of a state out of order: ${[prefetch, uses.first, uses.last, outDone].join(" < ")} (${name})`,
      );
    return [{ ...uses, name, prefetch, outDone }];
  });
}

const nextValues = perObject(
  ({ state }: Graph): ReadonlyMap<string, string> => new Map(state.map(({ before, after }) => [before, after])),
);

/** The slices of a state: each comes while the one before it is renewed, and leaves while the next one is. */
function slicedOf(graph: Graph, whole: string): Hosted[] {
  const read = consumers(graph);
  const made = producers(graph);
  const next = nextValues(graph);
  const slices = (slicesOf(graph, whole) ?? []).map((name) => {
    const after = next.get(name);
    const ranks = [
      ...(read.get(name) ?? []),
      ...(after ? [made.get(after) as number, ...(read.get(after) ?? [])] : []),
    ];
    return { name, whole, first: least(ranks), last: greatest(ranks), isRenewed: after !== undefined, isOutput: false };
  });
  const order = slices.filter(({ first }) => Number.isFinite(first)).sort((a, z) => a.first - z.first);
  return order.map((slice, i) => ({
    ...slice,
    prefetch: order[i - 1]?.first ?? slice.first,
    outDone: (order[i + 1]?.last ?? slice.last) + 1,
  }));
}

/**
 * The graph with these states on the host between their uses. What holds the value of `w` from step to step is
 * `w@swap/host`; the copy of it to the device, `w@swap/in`, begins before `prefetch` and is complete, as `w`, before the
 * first use. Nodes, slices and next values stay as they are. After the last use the copy of what `w` has become, which
 * begins as `w@swap/out`, is complete as `w@swap/host.next`, which takes the place of `w@swap/host`, before `outDone`; a state that the step does
 * not renew is not copied back.
 *
 * Throws `no state that can leave: …`, `unknown node: …` or `copies of a state out of order: …`.
 */
export function hostStates(given: Graph, placements: readonly StatePlacement[]): Graph {
  const cut = placements.flatMap(({ state, sliced }) => (sliced ? [state] : []));
  const graph = sliceUpdates(given, cut);
  if (!graph) throw new Error(`cannot be cut into slices: ${cut.join(", ")}`);
  const states = hostedOf(graph, placements);
  const tensors = new Map(graph.tensors);
  const insertions = new Insertions(graph.nodes);
  const names = new FreeNames(graph.tensors.keys());
  const pairs = [...graph.state];
  const put = (rank: number, { name, first, last }: Hosted, part: SwapPart, [...inputs]: string[], output: string) => {
    const leaves = part === "out" || part === "host";
    const user = graph.nodes[leaves ? last : first] as Node;
    const beside = graph.nodes[part === "out" ? last : Math.min(rank, graph.nodes.length - 1)] as Node;
    const { phase } = beside;
    const node: Node = { name, domain: "mutwo", op: swapOps[part], inputs, outputs: [output], attributes: {}, phase };
    insertions.add(rank, placedWith(node, user, beside), part);
  };
  const declare = (tensor: Tensor): string => {
    tensors.set(tensor.name, tensor);
    return tensor.name;
  };
  const leaving = states.filter(({ isRenewed }) => isRenewed).sort((a, z) => a.last - z.last);
  const arriving = [...states].sort((a, z) => a.first - z.first);
  const places = new Map(arriving.map(({ name }) => [name, names.take(name, "host")]));
  const homeOf = ({ name }: Hosted): string => places.get(name) as string;
  const goings = new Map<string, readonly [string, string]>();
  const typeOf = ({ name, whole = name }: Hosted): Pick<Tensor, "dtype" | "shape" | "category"> => {
    const { dtype, shape } = tensorOf(graph, name);
    return { dtype, shape, category: tensorOf(graph, whole).category };
  };
  for (const state of leaving) {
    const type = typeOf(state);
    const next = nextOf(tensors, state.name);
    const out = declare({ ...type, name: names.take(state.name, "out"), host: true });
    put(state.last + 1, state, "out", [next], out);
    goings.set(state.name, [out, next]);
  }
  for (const state of leaving) {
    const [out, next] = goings.get(state.name) as readonly [string, string];
    const left = declare({ ...typeOf(state), name: names.free(nextName(homeOf(state))), host: true });
    pairs.push({ before: homeOf(state), after: left });
    put(state.outDone, state, "host", [out, next], left);
  }
  const comings = new Map<string, string>();
  for (const state of arriving) {
    const { name, data, within, ...own } = tensorOf(graph, state.name);
    const { whole } = state;
    const place = whole === undefined ? data && { data } : within && { within };
    const home = declare({ ...typeOf(state), ...place, name: homeOf(state), host: true });
    // what slices come of is on the host as it is
    if (whole !== undefined) {
      tensors.set(whole, { ...tensorOf(graph, whole), host: true });
      tensors.set(name, { ...own, ...typeOf(state), name });
    }
    const coming = declare({ ...typeOf(state), name: names.take(name, "in") });
    put(state.prefetch, state, "in", [home], coming);
    comings.set(name, coming);
  }
  for (const state of arriving)
    put(state.first, state, "back", [comings.get(state.name) as string, homeOf(state)], state.name);
  const nodes = [
    ...graph.nodes.flatMap((node, rank) => [...insertions.at(rank), node]),
    ...insertions.at(graph.nodes.length),
  ];
  return prune({ ...graph, nodes, tensors, state: pairs });
}

/** A tensor that shows what a state has become. */
function nextOf(tensors: Map<string, Tensor>, state: string): string {
  const { dtype, shape, category } = tensors.get(state) as Tensor;
  const name = shiftedName(state, "ahead");
  const known = tensors.get(name);
  const isThat = known?.renewed && known.within?.tensor === state && known.within.offsetBytes === 0;
  if (known && (!isThat || String(known.shape) !== String(shape))) throw new Error(`two tensors of a name: ${name}`);
  tensors.set(name, { name, dtype, shape, category, renewed: true, within: { tensor: state, offsetBytes: 0 } });
  return name;
}
