import {
  bytesPerElement,
  consumers,
  type Graph,
  type Node,
  producers,
  type Tensor,
  tensorBytes,
  tensorOf,
} from "../graph/graph.js";
import { addTo } from "../graph/lists.js";
import { perObject } from "../graph/memo.js";
import { nextName, sliceName } from "../graph/names.js";
import { bytesOf } from "../graph/values.js";
import { fusedBody } from "../ops/fused.js";
import { opOf } from "../ops/index.js";

/** Into how many slices a flat buffer is cut. */
export const slices = 16;

/** Slices begin at multiples of so many elements. */
const alignment = 64;

/** What lies within each flat buffer, but for what shows what a state has become. */
const partsOf = perObject((graph: Graph): ReadonlyMap<string, readonly Tensor[]> => {
  const parts = new Map<string, Tensor[]>();
  for (const tensor of graph.tensors.values())
    if (tensor.within && !tensor.renewed) addTo(parts, tensor.within.tensor, tensor);
  return parts;
});

/** The states that a step renews, by their next values. */
const renewedBy = perObject(
  ({ state }: Graph): ReadonlyMap<string, string> => new Map(state.map(({ before, after }) => [after, before])),
);

const renewed = perObject(({ state }: Graph): ReadonlySet<string> => new Set(state.map(({ before }) => before)));

/** The slices of each of some states that nodes use only so, by the state; undefined of one that is used as a whole. */
export function slicesOf(graph: Graph, state: string): readonly string[] | undefined {
  const parts = partsOf(graph).get(state) ?? [];
  if (!parts.length || consumers(graph).has(state) || renewed(graph).has(state)) return undefined;
  // not those that show what others show too
  const bytes = parts.reduce((sum, part) => sum + tensorBytes(part), 0);
  return bytes > tensorBytes(tensorOf(graph, state)) ? undefined : parts.map(({ name }) => name);
}

/** Whether the nodes that renew a flat buffer can be cut into slices of it, or are. */
export function canSlice(graph: Graph, state: string): boolean {
  if (slicesOf(graph, state)) return true;
  const users = usersOf(graph, state);
  return users.length > 0 && tensorOf(graph, state).shape.length === 1 && users.every((node) => canCut(graph, node));
}

const usersOf = (graph: Graph, state: string): Node[] =>
  (consumers(graph).get(state) ?? []).map((rank) => graph.nodes[rank] as Node);

/**
 * The graph with the nodes that renew these flat buffers cut into slices, each of which renews a slice of them; the same
 * graph if it is cut already. undefined where that cannot be: where a node does more than compute each element by itself.
 */
export function sliceUpdates(graph: Graph, states: readonly string[]): Graph | undefined {
  if (!states.every((name) => canSlice(graph, name))) return undefined;
  const cut = new Set(states.flatMap((name) => (slicesOf(graph, name) ? [] : usersOf(graph, name))));
  if (!cut.size) return graph;
  const cuts = new Cuts(graph);
  const nodes = graph.nodes.flatMap((node) => (cut.has(node) ? cuts.of(node) : [node]));
  const gone = new Set([...cut].flatMap(({ outputs }) => outputs));
  for (const name of gone) cuts.tensors.delete(name);
  const pairs = graph.state.flatMap((pair) => (gone.has(pair.after) ? (cuts.pairs.get(pair.after) ?? [pair]) : [pair]));
  const step = { ...graph, nodes, tensors: cuts.tensors, state: pairs };
  return states.every((name) => slicesOf(step, name)) ? step : undefined;
}

/** Whether each element of what a node makes follows from the same elements of what it reads. */
const isPointwise = (node: Node): boolean =>
  node.attributes.body
    ? fusedBody(node).nodes.every(({ domain = "", op }) => opOf({ name: node.name, domain, op }).pointwise)
    : opOf(node).pointwise === true;

/** How many elements the flat buffers of a node have: it has none of any other length that can be cut. */
const lengthOf = (graph: Graph, { outputs: [output = ""] }: Node): number => graph.tensors.get(output)?.shape[0] ?? 0;

/** Whether a node computes each element of flat buffers by itself, and makes next values of residents only. */
function canCut(graph: Graph, node: Node): boolean {
  const { tensors } = graph;
  const length = String(lengthOf(graph, node));
  const isSmall = (name: string): boolean => name === "" || tensors.get(name)?.shape.length === 0;
  const isFlat = (name: string): boolean => tensors.get(name)?.shape.join() === length;
  const isNext = (name: string): boolean => {
    const before = renewedBy(graph).get(name);
    return before !== undefined && isFlat(name) && !producers(graph).has(before) && !tensors.get(before)?.within;
  };
  return (
    isPointwise(node) &&
    node.inputs.every((name) => isSmall(name) || isFlat(name)) &&
    node.outputs.every((name) => isNext(name) && !consumers(graph).has(name))
  );
}

/** Elements of flat buffers, the last one excluded, and which slice they are, from 1 on. */
interface Range {
  readonly index: number;
  readonly begin: number;
  readonly end: number;
}

/** The slices of the flat buffers of a graph. */
class Cuts {
  readonly tensors: Map<string, Tensor>;
  /** The states that take the place of one, by its next value. */
  readonly pairs = new Map<string, Graph["state"][number][]>();
  private readonly known = new Map<string, string>();

  constructor(private readonly graph: Graph) {
    this.tensors = new Map(graph.tensors);
  }

  /** A node once for each slice. */
  of(node: Node): Node[] {
    const count = lengthOf(this.graph, node);
    const size = Math.ceil(count / slices / alignment) * alignment;
    return Array.from({ length: Math.ceil(count / size) }, (_, i) => {
      const copies: Node[] = [];
      const range: Range = { index: i + 1, begin: i * size, end: Math.min(count, (i + 1) * size) };
      const isFlat = (name: string): boolean => this.graph.tensors.get(name)?.shape.join() === String(count);
      const inputs = node.inputs.map((name) => (isFlat(name) ? this.slice(name, range, node, copies) : name));
      const outputs = node.outputs.map((name) => {
        const before = renewedBy(this.graph).get(name) as string;
        const after = this.fresh(nextName(sliceName(before, range.index)));
        const { dtype, category } = tensorOf(this.graph, name);
        this.tensors.set(after, { name: after, dtype, shape: [range.end - range.begin], category });
        addTo(this.pairs, name, { before: this.slice(before, range, node, copies), after });
        return after;
      });
      return [...copies, { ...node, name: sliceName(node.name, range.index), inputs, outputs }];
    }).flat();
  }

  /** A slice of a flat buffer: of a resident where it lies, of others a copy that a node makes. */
  private slice(name: string, { index, begin, end }: Range, user: Node, copies: Node[]): string {
    const key = `${name} ${index}`;
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const { dtype, category } = tensorOf(this.graph, name);
    const slice = this.fresh(sliceName(name, index));
    const type = { name: slice, dtype, shape: [end - begin] };
    const isResident = category === "parameter" || category === "optimizer state";
    if (isResident && !producers(this.graph).has(name)) {
      const offsetBytes = begin * bytesPerElement(dtype);
      this.tensors.set(slice, { ...type, category: "temporary", within: { tensor: name, offsetBytes } });
    } else {
      this.tensors.set(slice, { ...type, category: "temporary" });
      const ends = { start: begin, end, axis: 0 };
      const ranges = Object.entries(ends).map(([what, value]) => this.constant(`${slice}.${what}`, value));
      const { lane, stage, phase } = user;
      copies.push({
        name: sliceName(name, index),
        domain: "",
        op: "Slice",
        inputs: [name, ...ranges],
        outputs: [slice],
        attributes: {},
        phase,
        ...(lane === undefined ? {} : { lane }),
        ...(stage === undefined ? {} : { stage }),
      });
    }
    this.known.set(key, slice);
    return slice;
  }

  private constant(wish: string, value: number): string {
    const name = this.fresh(wish);
    this.tensors.set(name, { name, dtype: "int64", shape: [1], category: "constant", data: bytesOf("int64", [value]) });
    return name;
  }

  private fresh(name: string): string {
    let free = name;
    while (this.tensors.has(free)) free += "_";
    return free;
  }
}
