import {
  type Attributes,
  categories,
  consumers,
  dtypes,
  type Graph,
  type Node,
  phases,
  producers,
  type Tensor,
} from "../graph/graph.js";
import { perObject } from "../graph/memo.js";
import type { SavedGraph, SavedTensor } from "./run.js";

/** What a row of a node table says of the graph; all rows together say enough to plan. */
export interface Wiring {
  /** Tensor names; "" stands for what is absent. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Attributes;
  /** The tensors that this row is the first to name; with the first row also those that no node reads or makes. */
  readonly tensors: readonly SavedTensor[];
  /** The states whose next value the node makes; with the first row also those whose next value no node makes. */
  readonly renews: Graph["state"];
  /** What must hold its value when the step ends, told of as `renews` are. */
  readonly stepOutputs: readonly string[];
}

/** What the rows of a graph's node table say of it, by rank. */
export const wiring = perObject((graph: Graph): readonly Wiring[] => {
  const maker = producers(graph);
  const readers = consumers(graph);
  const first = ({ name }: Tensor): number | undefined => {
    const [made, read] = [maker.get(name), readers.get(name)?.[0]];
    return made === undefined || read === undefined ? (made ?? read) : Math.min(made, read);
  };
  const tensors = byRank([...graph.tensors.values()], first);
  const renews = byRank(graph.state, ({ after }) => maker.get(after));
  const stepOutputs = byRank(graph.outputs, (name) => maker.get(name));
  return graph.nodes.map(({ inputs, outputs, attributes }, rank) => ({
    inputs,
    outputs,
    attributes,
    tensors: (tensors.get(rank) ?? []).map(withoutValues),
    renews: renews.get(rank) ?? [],
    stepOutputs: stepOutputs.get(rank) ?? [],
  }));
});

/** Most tensors of a saved graph have no values: those are not copied. */
function withoutValues(tensor: Tensor): SavedTensor {
  if (!tensor.data && !tensor.range) return tensor;
  const { data, range, ...saved } = tensor;
  return saved;
}

function byRank<T>(list: readonly T[], rankOf: (one: T) => number | undefined): Map<number, T[]> {
  const ranked = new Map<number, T[]>();
  for (const one of list) {
    const rank = rankOf(one) ?? 0;
    const known = ranked.get(rank);
    if (known) known.push(one);
    else ranked.set(rank, [one]);
  }
  return ranked;
}

/** A tensor in a line: `float32[2,3] activation`, `… at byte 128 of parameters` (a slice of a flat buffer), `… on the host`. */
export const tensorText = ({ dtype, shape, category, within, host }: Omit<SavedTensor, "name">): string =>
  `${dtype}[${shape.join(",")}] ${category}${host ? " on the host" : ""}${within ? ` at byte ${within.offsetBytes} of ${within.tensor}` : ""}`;

const tensorPattern = new RegExp(
  `^(${dtypes.join("|")})\\[((?:\\d+(?:,\\d+)*)?)\\] (${categories.join("|")})( on the host)?(?: at byte (\\d+) of (.*))?$`,
  "s",
);

/** What `tensorText` wrote; undefined for another text. */
export function parseTensor(name: string, text: string): SavedTensor | undefined {
  const [, dtype, shape, category, host, offset, whole] = tensorPattern.exec(text) ?? [];
  if (!dtype || !category) return undefined;
  return {
    name,
    dtype: dtype as SavedTensor["dtype"],
    shape: shape ? shape.split(",").map(Number) : [],
    category: category as SavedTensor["category"],
    ...(host ? { host: true as const } : {}),
    ...(whole === undefined ? {} : { within: { tensor: whole, offsetBytes: Number(offset) } }),
  };
}

/** A row of a node table: the node, and what the row says of the graph. */
export type WiredNode = Wiring & Pick<Node, "name" | "domain" | "op" | "phase">;

/**
 * The graph that the rows of a node table describe, without values of constants: enough to plan, not to execute. Throws
 * one line that names the row (from 1) if rows contradict each other: a tensor that none describes or that two do,
 * read before it is made, made twice, or a node's name that another has.
 */
export function unwire(name: string, rows: readonly WiredNode[]): SavedGraph {
  const described = new Map<string, SavedTensor>();
  rows.forEach((row, rank) => {
    for (const tensor of row.tensors) {
      if (described.has(tensor.name)) throw contradiction(rank, "describes a tensor a second time", tensor.name);
      described.set(tensor.name, tensor);
    }
  });
  checkRows(rows, described);
  // in the order in which rows name them: JSON does not keep the order of names that are numbers
  const order = new Set([...rows.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]), ...described.keys()]);
  order.delete("");
  const tensors = [...order].map((one) => described.get(one) as SavedTensor);
  return {
    name,
    nodes: rows.map(({ tensors: _, renews, stepOutputs, ...node }) => node),
    tensors,
    inputs: tensors.filter(({ category }) => category === "input").map((tensor) => tensor.name),
    outputs: rows.flatMap(({ stepOutputs }) => stepOutputs),
    state: rows.flatMap(({ renews }) => renews),
  };
}

const contradiction = (rank: number, problem: string, what: string): Error =>
  new Error(`row ${rank + 1} ${problem}: ${what}`);

/** Throws for the first row that does not fit the others. */
function checkRows(rows: readonly WiredNode[], described: ReadonlyMap<string, SavedTensor>): void {
  const made = new Set(rows.flatMap(({ outputs }) => outputs));
  const flat = new Set([...described.values()].flatMap(({ within }) => (within ? [within.tensor] : [])));
  const names = new Set<string>();
  const standing = new Set<string>();
  for (const [rank, { name, phase, inputs, outputs, tensors, renews, stepOutputs }] of rows.entries()) {
    if (names.has(name)) throw contradiction(rank, "has the name of another node", name);
    names.add(name);
    if (!phases.includes(phase)) throw contradiction(rank, "has an unknown phase", phase);
    const mentioned = [
      ...inputs,
      ...outputs,
      ...stepOutputs,
      ...renews.flatMap(({ before, after }) => [before, after]),
      ...tensors.flatMap(({ within }) => (within ? [within.tensor] : [])),
    ];
    const unknown = mentioned.find((one) => one && !described.has(one));
    if (unknown !== undefined) throw contradiction(rank, "names a tensor that no row describes", unknown);
    const early = inputs.find((one) => one && made.has(one) && !standing.has(one) && !flat.has(one));
    if (early !== undefined) throw contradiction(rank, "reads a tensor before it is made", early);
    for (const one of outputs) {
      if (one && standing.has(one)) throw contradiction(rank, "makes a tensor a second time", one);
      standing.add(one);
    }
  }
}
