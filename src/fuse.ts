import { consumers, elementCount, type Graph, type Node, producers, prune, type Tensor, tensorOf } from "./graph.js";
import { peakBytes } from "./liveness.js";
import { callOf } from "./ops/call.js";
import { type FusedBody, fusedAttributes, type InnerConstant, type InnerNode } from "./ops/fused.js";
import { normalizeAxes } from "./ops/shapes.js";
import { rematerialize } from "./rematerialize.js";

/** Ops whose every output element depends on one element of each input. */
const pointwise = new Set(
  "Add Sub Mul Div Neg Abs Sqrt Exp Log Erf Tanh Sigmoid Relu Pow Reciprocal Sign Where Cast Equal Greater Less GreaterOrEqual LessOrEqual And Or Not Xor Min Max Clip Softplus LeakyRelu Elu Floor Ceil Sin Cos".split(
    " ",
  ),
);
const reductions = new Set(["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"]);

/** Rows that are longer are not kept on the chip: reading them several times would cost what fusing saves. */
const longestRow = 16384;
/** How much the peak may rise for the sake of speed: fused nodes take all their inputs at once. */
const mostRise = 1.05;
/** Inputs of one fused node: every one is an address that a thread keeps. */
const mostInputs = 24;

/** How a node can be a member: each element by itself, or one value for each row of that many trailing axes. */
export interface Fusible {
  /** The shape whose elements the node goes over. */
  readonly shape: readonly number[];
  /** Number of trailing axes that a reduction makes one; 0 for a pointwise node. */
  readonly reducedAxes: number;
}

const fusibleTypes = new Set(["float32", "float16", "bfloat16", "float64", "bool", "int32", "int64", "uint8", "int8"]);

/** How a node of a graph may be a member of a fused node; undefined if it may not. */
export function fusible(node: Node, graph: Pick<Graph, "tensors" | "name">): Fusible | undefined {
  if (node.domain !== "" || node.outputs.length !== 1 || node.inputs.some((name, i) => !name && i === 0))
    return undefined;
  const types = [...node.inputs, ...node.outputs].filter(Boolean).map((name) => tensorOf(graph, name));
  if (types.some(({ dtype, host }) => host || !fusibleTypes.has(dtype))) return undefined;
  const output = tensorOf(graph, node.outputs[0] as string);
  if (pointwise.has(node.op)) return { shape: output.shape, reducedAxes: 0 };
  if (!reductions.has(node.op)) return undefined;
  const { shape } = tensorOf(graph, node.inputs[0] as string);
  const call = callOf(node, graph.tensors);
  const given = call.inputs[1] ? call.constant(1) : call.ints("axes");
  const axes = normalizeAxes(given?.length ? given : shape.map((_, axis) => axis), shape.length).sort((a, z) => a - z);
  const count = axes.length;
  const isLast = axes.every((axis, i) => axis === shape.length - count + i);
  const isKept = call.int("keepdims", 1) !== 0 || count === shape.length;
  if (!isLast || !isKept || call.int("keepdims", 1) === 0) return undefined;
  if (elementCount(shape.slice(shape.length - count)) > longestRow) return undefined;
  return { shape, reducedAxes: count };
}

/** A row value's shape: that of a full one with its trailing axes of size 1. */
const rowShape = (shape: readonly number[], reducedAxes: number): string =>
  shape.map((n, axis) => (axis < shape.length - reducedAxes ? n : 1)).join();

interface Group {
  /** Ranks, in order. */
  readonly members: readonly number[];
  /** What the group goes over. */
  readonly shape: readonly number[];
  readonly reducedAxes: number;
}

/** Two groups as one; undefined if what they go over does not fit together. */
function joined(a: Group, z: Group): Group | undefined {
  if (a.reducedAxes && z.reducedAxes && a.reducedAxes !== z.reducedAxes) return undefined;
  const reducedAxes = a.reducedAxes || z.reducedAxes;
  const [large, small] = elementCount(a.shape) >= elementCount(z.shape) ? [a, z] : [z, a];
  const isFull = large.shape.join() === small.shape.join();
  // a pointwise node on row values belongs to the rows of the group
  const isRow = reducedAxes > 0 && !small.reducedAxes && small.shape.join() === rowShape(large.shape, reducedAxes);
  if (!isFull && !isRow) return undefined;
  if (reducedAxes && elementCount(large.shape.slice(large.shape.length - reducedAxes)) > longestRow) return undefined;
  return { members: [...a.members, ...z.members].sort((p, q) => p - q), shape: large.shape, reducedAxes };
}

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

/** Groups the fusible nodes of a graph and writes each group as one node. */
function group(graph: Graph): Graph {
  const made = producers(graph);
  const read = consumers(graph);
  const groups = new Set<Group>();
  const groupOf = new Map<number, Group>();
  const node = (rank: number): Node => graph.nodes[rank] as Node;
  const passes = passesOf(graph);
  /** Ranks of the nodes that a node's inputs come from. */
  const sources = graph.nodes.map((one) =>
    [...new Set(one.inputs.flatMap((name) => made.get(name) ?? []))].filter((rank) => rank >= 0),
  );
  // a node that reads a flat buffer reads what was put into its parts
  const parts = new Map<string, number[]>();
  for (const tensor of graph.tensors.values())
    if (tensor.within && made.has(tensor.name))
      parts.set(tensor.within.tensor, [...(parts.get(tensor.within.tensor) ?? []), made.get(tensor.name) as number]);
  graph.nodes.forEach((one, rank) => {
    for (const name of one.inputs)
      for (const part of parts.get(name) ?? []) if (part < rank) (sources[rank] as number[]).push(part);
  });

  /** Whether a path leads out of a set of nodes and back into it: then they cannot be one node. */
  const closes = (set: ReadonlySet<number>): boolean => {
    const first = Math.min(...set);
    const seen = new Set<number>();
    const stack: number[] = [];
    const push = (rank: number): void => {
      for (const source of sources[rank] as number[])
        if (source >= first && !set.has(source) && !seen.has(source)) stack.push(source);
    };
    for (const rank of set) push(rank);
    while (stack.length) {
      const at = stack.pop() as number;
      if (seen.has(at)) continue;
      // a group is one node: what leads to any of its members leads to all
      for (const member of groupOf.get(at)?.members ?? [at]) {
        if (set.has(member)) continue;
        seen.add(member);
        for (const source of sources[member] as number[]) {
          if (set.has(source)) return true;
          if (!seen.has(source) && (source >= first || groupOf.has(source))) stack.push(source);
        }
      }
    }
    return false;
  };
  const inputsOf = (members: readonly number[]): Set<string> => {
    const inside = new Set(members.flatMap((rank) => node(rank).outputs));
    return new Set(members.flatMap((rank) => node(rank).inputs.filter((name) => name && !inside.has(name))));
  };

  for (const [rank, one] of graph.nodes.entries()) {
    const how = fusible(one, graph);
    if (!how) continue;
    const candidates = new Set<Group>();
    for (const source of sources[rank] as number[]) {
      const found = groupOf.get(source);
      if (found) candidates.add(found);
    }
    // nodes that read the same tensor are worth one kernel too
    for (const name of one.inputs)
      if (name && elementCount(tensorOf(graph, name).shape) > 1024)
        for (const other of read.get(name) ?? []) {
          const found = other < rank ? groupOf.get(other) : undefined;
          if (found) candidates.add(found);
        }
    let own: Group = { members: [rank], shape: how.shape, reducedAxes: how.reducedAxes };
    for (const other of candidates) {
      const both = joined(other, own);
      if (!both || passes[both.members[0] as number] !== passes[rank]) continue;
      if (node(both.members[0] as number).phase !== one.phase) continue;
      if (inputsOf(both.members).size > mostInputs || closes(new Set(both.members))) continue;
      groups.delete(other);
      own = both;
    }
    groups.add(own);
    for (const member of own.members) groupOf.set(member, own);
  }

  const written = new Map<Group, Node>();
  const tensors = new Map(graph.tensors);
  const outputs = new Set([...graph.outputs, ...graph.state.map(({ after }) => after)]);
  for (const one of groups) {
    if (one.members.length < 2) {
      groupOf.delete(one.members[0] as number);
      continue;
    }
    const inside = new Set(one.members);
    const leaves = (name: string): boolean =>
      outputs.has(name) ||
      Boolean(tensorOf(graph, name).within) ||
      (read.get(name) ?? []).some((rank) => !inside.has(rank));
    written.set(one, write(graph, one, leaves));
  }
  return prune({ ...graph, nodes: order(graph, sources, passes, groupOf, written), tensors });
}

/** A group as one node. Equal members are written once. */
function write(graph: Graph, { members, shape }: Group, leaves: (name: string) => boolean): Node {
  const names = new Map<string, string>();
  const inputs: string[] = [];
  const outputs: string[] = [];
  const constants: Record<string, InnerConstant> = {};
  const nodes: InnerNode[] = [];
  const known = new Map<string, string>();
  const inner = (name: string): string => {
    if (!name) return "";
    const found = names.get(name);
    if (found) return found;
    const tensor = tensorOf(graph, name);
    let made: string;
    if (
      tensor.category === "constant" &&
      tensor.data &&
      (elementCount(tensor.shape) === 1 || (tensor.dtype === "int64" && tensor.shape.length === 1))
    ) {
      made = `c${Object.keys(constants).length}`;
      constants[made] = {
        dtype: tensor.dtype,
        shape: tensor.shape,
        dataBase64: Buffer.from(tensor.data).toString("base64"),
      };
    } else {
      made = `x${inputs.length}`;
      inputs.push(name);
    }
    names.set(name, made);
    return made;
  };
  let count = 0;
  for (const rank of members) {
    const { op, inputs: from, outputs: to, attributes } = graph.nodes[rank] as Node;
    const name = to[0] as string;
    const operands = from.map(inner);
    const key = JSON.stringify([op, operands, attributes]);
    const same = known.get(key);
    const isOutput = leaves(name);
    if (same && !isOutput) {
      names.set(name, same);
      continue;
    }
    const own = isOutput ? `y${outputs.length}` : `t${count++}`;
    if (isOutput) outputs.push(name);
    if (!same) known.set(key, own);
    names.set(name, own);
    nodes.push({
      op,
      inputs: operands,
      outputs: [own],
      ...(Object.keys(attributes).length ? { attributes } : {}),
    });
  }
  const isFull = (tensor: Tensor): boolean => tensor.shape.join() === shape.join();
  const inPlace = outputs.map((name) => {
    const output = tensorOf(graph, name);
    if (!isFull(output)) return [];
    return inputs.flatMap((input, i) => {
      const tensor = tensorOf(graph, input);
      return isFull(tensor) && tensor.dtype === output.dtype ? [i] : [];
    });
  });
  const body: FusedBody = { nodes, constants, inPlace };
  const last = graph.nodes[members.at(-1) as number] as Node;
  return {
    name: last.name,
    domain: "mutwo",
    op: "Fused",
    inputs,
    outputs,
    attributes: fusedAttributes(body),
    phase: last.phase,
  };
}

/** Number of the pass that each node belongs to: forward, backward, and so on for each micro-batch, then the update. */
function passesOf(graph: Graph): number[] {
  let pass = 0;
  let before = "";
  return graph.nodes.map(({ phase }) => {
    const kind = phase === "loss" ? "forward" : phase;
    if (before && kind !== before) pass++;
    before = kind;
    return pass;
  });
}

/** All nodes in an order that keeps every dependency: pass by pass, each as near to its old place as it can be. */
function order(
  graph: Graph,
  sources: readonly (readonly number[])[],
  passes: readonly number[],
  groupOf: ReadonlyMap<number, Group>,
  written: ReadonlyMap<Group, Node>,
): Node[] {
  // one unit for each group and each single node, standing at the rank of its last member
  const unitOf = graph.nodes.map((_, rank) => {
    const group = groupOf.get(rank);
    return group ? (group.members.at(-1) as number) : rank;
  });
  const members = new Map<number, number[]>();
  unitOf.forEach((unit, rank) => void members.set(unit, [...(members.get(unit) ?? []), rank]));
  const waiting = new Map<number, number>();
  const followers = new Map<number, Set<number>>();
  for (const [unit, ranks] of members) {
    const needed = new Set(ranks.flatMap((rank) => (sources[rank] as number[]).map((s) => unitOf[s] as number)));
    needed.delete(unit);
    waiting.set(unit, needed.size);
    for (const source of needed) followers.set(source, (followers.get(source) ?? new Set()).add(unit));
  }
  const place = (unit: number): number => (passes[unit] as number) * graph.nodes.length + unit;
  // units come out in the order of their places, except where one still waits
  const ready = new Heap(place);
  for (const [unit, count] of waiting) if (count === 0) ready.push(unit);
  const nodes: Node[] = [];
  for (let unit = ready.pop(); unit !== undefined; unit = ready.pop()) {
    const group = groupOf.get(unit);
    nodes.push(group ? (written.get(group) as Node) : (graph.nodes[unit] as Node));
    for (const next of followers.get(unit) ?? []) {
      const left = (waiting.get(next) as number) - 1;
      waiting.set(next, left);
      if (left === 0) ready.push(next);
    }
  }
  if (nodes.length !== members.size) throw new Error(`a cycle among fused nodes (graph ${graph.name})`);
  return nodes;
}

/** A binary heap: the smallest by `key` first. */
class Heap {
  private readonly items: number[] = [];
  constructor(private readonly key: (item: number) => number) {}
  push(item: number): void {
    const { items, key } = this;
    items.push(item);
    for (let i = items.length - 1; i > 0; ) {
      const up = (i - 1) >> 1;
      if (key(items[up] as number) <= key(items[i] as number)) break;
      [items[up], items[i]] = [items[i] as number, items[up] as number];
      i = up;
    }
  }
  pop(): number | undefined {
    const { items, key } = this;
    const top = items[0];
    const last = items.pop();
    if (items.length && last !== undefined) {
      items[0] = last;
      for (let i = 0; ; ) {
        const [left, right] = [2 * i + 1, 2 * i + 2];
        let least = i;
        for (const child of [left, right])
          if (child < items.length && key(items[child] as number) < key(items[least] as number)) least = child;
        if (least === i) break;
        [items[least], items[i]] = [items[i] as number, items[least] as number];
        i = least;
      }
    }
    return top;
  }
}
