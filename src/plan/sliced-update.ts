import {
  bytesPerElement,
  type Graph,
  type Node,
  producers,
  type Tensor,
  tensorBytes,
  tensorOf,
} from "../graph/graph.js";
import { nextName, sliceName } from "../graph/names.js";
import { bytesOf } from "../graph/values.js";
import { fusedBody } from "../ops/fused.js";
import { opOf } from "../ops/index.js";

/** Into how many slices a flat buffer is cut. */
export const slices = 16;

/** Slices begin at multiples of so many elements. */
const alignment = 64;

/** The slices of each of some states that nodes use only so, by the state; undefined of one that is used as a whole. */
export function slicesOf(graph: Graph, state: string): readonly string[] | undefined {
  const parts = [...graph.tensors.values()].filter(({ within, renewed }) => within?.tensor === state && !renewed);
  // not those that show what others show too
  if (parts.reduce((bytes, part) => bytes + tensorBytes(part), 0) > tensorBytes(tensorOf(graph, state)))
    return undefined;
  const isRead = graph.nodes.some(({ inputs }) => inputs.includes(state));
  const isRenewed = graph.state.some(({ before }) => before === state);
  return parts.length && !isRead && !isRenewed ? parts.map(({ name }) => name) : undefined;
}

/**
 * The graph with the nodes that renew these flat buffers cut into slices, each of which renews a slice of them; the same
 * graph if it is cut already. undefined where that cannot be: where a node does more than compute each element by itself.
 */
export function sliceUpdates(graph: Graph, states: readonly string[]): Graph | undefined {
  let step: Graph | undefined = graph;
  for (const name of states) step = step && sliceUpdate(step, name);
  return step && states.every((name) => slicesOf(step, name)) ? step : undefined;
}

function sliceUpdate(graph: Graph, state: string): Graph | undefined {
  if (slicesOf(graph, state)) return graph;
  const users = graph.nodes.filter(({ inputs }) => inputs.includes(state));
  const { shape } = tensorOf(graph, state);
  const cuts = new Cuts(graph, shape[0] ?? 0);
  if (shape.length !== 1 || !users.length || !users.every((node) => cuts.canCut(node))) return undefined;
  const cut = new Set(users);
  const nodes = graph.nodes.flatMap((node) => (cut.has(node) ? cuts.of(node) : [node]));
  const gone = new Set(users.flatMap(({ outputs }) => outputs));
  for (const name of gone) if (cuts.isFlat(name)) cuts.tensors.delete(name);
  const pairs = graph.state.flatMap((pair) => (gone.has(pair.after) ? (cuts.pairs.get(pair.after) ?? [pair]) : [pair]));
  return { ...graph, nodes, tensors: cuts.tensors, state: pairs };
}

/** Whether each element of what a node makes follows from the same elements of what it reads. */
const isPointwise = (node: Node): boolean =>
  node.attributes.body
    ? fusedBody(node).nodes.every(({ domain = "", op }) => opOf({ name: node.name, domain, op }).pointwise)
    : opOf(node).pointwise === true;

/** The slices of the flat buffers of a graph. */
class Cuts {
  readonly tensors: Map<string, Tensor>;
  /** The states that take the place of one, by its next value. */
  readonly pairs = new Map<string, Graph["state"][number][]>();
  private readonly made: ReadonlyMap<string, number>;
  private readonly before: ReadonlyMap<string, string>;
  private readonly begins: readonly number[];
  private readonly known = new Map<string, string>();

  constructor(
    private readonly graph: Graph,
    private readonly count: number,
  ) {
    this.tensors = new Map(graph.tensors);
    this.made = producers(graph);
    this.before = new Map(graph.state.map(({ before, after }) => [after, before]));
    const size = Math.ceil(count / slices / alignment) * alignment;
    this.begins = Array.from({ length: Math.ceil(count / size) }, (_, i) => i * size);
  }

  isFlat(name: string): boolean {
    return this.graph.tensors.get(name)?.shape.join() === String(this.count);
  }

  /** Whether a node computes each element of flat buffers by itself, and makes next values of residents only. */
  canCut(node: Node): boolean {
    const { tensors } = this.graph;
    const isSmall = (name: string): boolean => name === "" || tensors.get(name)?.shape.length === 0;
    const isNext = (name: string): boolean => {
      const before = this.before.get(name);
      return before !== undefined && this.isFlat(name) && !this.made.has(before) && !tensors.get(before)?.within;
    };
    const isRead = (name: string): boolean => this.graph.nodes.some(({ inputs }) => inputs.includes(name));
    return (
      isPointwise(node) &&
      node.inputs.every((name) => isSmall(name) || this.isFlat(name)) &&
      node.outputs.every((name) => isNext(name) && !isRead(name))
    );
  }

  /** A node once for each slice. */
  of(node: Node): Node[] {
    return this.begins.flatMap((begin, i) => {
      const copies: Node[] = [];
      const inputs = node.inputs.map((name) => (this.isFlat(name) ? this.slice(name, i, node, copies) : name));
      const outputs = node.outputs.map((name) => {
        const before = this.before.get(name) as string;
        const after = this.fresh(nextName(sliceName(before, i + 1)));
        const { dtype, category } = tensorOf(this.graph, name);
        this.tensors.set(after, { name: after, dtype, shape: [this.lengthOf(begin)], category });
        const pair = { before: this.slice(before, i, node, copies), after };
        this.pairs.set(name, [...(this.pairs.get(name) ?? []), pair]);
        return after;
      });
      return [...copies, { ...node, name: sliceName(node.name, i + 1), inputs, outputs }];
    });
  }

  private lengthOf(begin: number): number {
    const [, size = this.count] = this.begins;
    return Math.min(size, this.count - begin);
  }

  /** A slice of a flat buffer: of a resident where it lies, of others a copy that a node makes. */
  private slice(name: string, i: number, user: Node, copies: Node[]): string {
    const key = `${name} ${i}`;
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const { dtype, category } = tensorOf(this.graph, name);
    const begin = this.begins[i] as number;
    const slice = this.fresh(sliceName(name, i + 1));
    const type = { name: slice, dtype, shape: [this.lengthOf(begin)] };
    const isResident = category === "parameter" || category === "optimizer state";
    if (isResident && !this.made.has(name)) {
      const offsetBytes = begin * bytesPerElement(dtype);
      this.tensors.set(slice, { ...type, category: "temporary", within: { tensor: name, offsetBytes } });
    } else {
      this.tensors.set(slice, { ...type, category: "temporary" });
      const ends = { start: begin, end: begin + this.lengthOf(begin), axis: 0 };
      const ranges = Object.entries(ends).map(([what, value]) => this.constant(`${slice}.${what}`, value));
      const { lane, stage, phase } = user;
      copies.push({
        name: sliceName(name, i + 1),
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
