import {
  elementCount,
  float,
  type Graph,
  int,
  type Node,
  producers,
  type Tensor,
  tensorBytes,
} from "../graph/graph.js";
import { addTo } from "../graph/lists.js";
import { randomFrom } from "../graph/random.js";
import { bytesOf } from "../graph/values.js";
import { opOf } from "../ops/index.js";

/** FNV-1a: gives each tensor its own seed, whatever else the graph holds. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/**
 * The value that each resident tensor of a training step starts with: the file's if it has one, else seeded.
 *
 * Weights: uniform with variance 1/fan-in; scales 1; biases, running means and optimizer state 0. Float inputs: uniform
 * with mean 0 and variance 1; beyond 2²⁴ elements they repeat. Integer inputs: any index that the tensors they index have; masks (integers that index
 * nothing) 1. `forward` is the graph before lowering, where ops can still be recognised.
 */
export function initialValues(step: Graph, forward: Graph, seed: number): Map<string, Uint8Array> {
  const values = new Map<string, Uint8Array>();
  const made = producers(step);
  const flat = new Set([...step.tensors.values()].map((tensor) => tensor.within?.tensor));
  const read = readersOf(forward);
  for (const tensor of step.tensors.values()) {
    // a resident temporary is a slice of one that has a value
    if (made.has(tensor.name) || ["constant", "gradient", "temporary"].includes(tensor.category)) continue;
    if (flat.has(tensor.name) && tensor.category === "parameter") continue; // its parts have the values
    values.set(tensor.name, tensor.data ?? seeded(tensor, usesOf(read, tensor.name), forward, seed));
  }
  return values;
}

/**
 * The graph with a seed in every node that draws random numbers and has none: two runs then draw the same. Seeds follow
 * from the node's name, or from what `ownOf` says: the name that the node has in the step of its model alone.
 */
export function seededGraph(
  graph: Graph,
  seed: number,
  ownOf: (name: string) => { readonly name: string; readonly seed: number } = (name) => ({ name, seed }),
): Graph {
  if (!graph.nodes.some((node) => opOf(node).random)) return graph;
  const nodes = graph.nodes.map((node): Node => {
    const { random } = opOf(node);
    if (!random || node.attributes.seed) return node;
    // within 24 bits, which a float attribute holds exactly; 0 may mean "no seed"
    const drawn = ownOf(node.name);
    const own = 1 + ((hash(drawn.name) ^ drawn.seed) & 0x7fffff);
    return { ...node, attributes: { ...node.attributes, seed: random === "int" ? int(own) : float(own) } };
  });
  return { ...graph, nodes };
}

type Use = { readonly node: Node; readonly slot: number };

/** Who reads each tensor, in schedule order; of one node's reads, the last first. */
function readersOf(graph: Graph): ReadonlyMap<string, readonly Use[]> {
  const read = new Map<string, Use[]>();
  for (const node of graph.nodes)
    for (let slot = node.inputs.length - 1; slot >= 0; slot--) {
      const name = node.inputs[slot];
      if (name) addTo(read, name, { node, slot });
    }
  return read;
}

/** Who reads a tensor, seen through views and what else hands its elements on, the last of the schedule first. */
function usesOf(read: ReadonlyMap<string, readonly Use[]>, name: string): Use[] {
  const uses: Use[] = [];
  const open = [...(read.get(name) ?? [])];
  for (let use = open.pop(); use; use = open.pop()) {
    const { view, passes } = opOf(use.node);
    if (!((view || passes) && use.slot === 0)) uses.push(use);
    else for (const further of read.get(use.node.outputs[0] as string) ?? []) open.push(further);
  }
  return uses;
}

/** Elements of an input that are drawn, which takes a second and a half; those of a larger one repeat them. */
const mostInput = 2 ** 24;

/** A value from the seed and the tensor's name alone; `uses` says what the tensor is for. */
function seeded(tensor: Tensor, uses: readonly Use[], graph: Graph, seed: number): Uint8Array {
  if (tensor.category === "optimizer state") return new Uint8Array(tensorBytes(tensor));
  const random = randomFrom(seed ^ hash(tensor.name));
  const next = tensor.category === "input" ? inputNumber(tensor, uses, graph, random) : weight(tensor, uses, random);
  const count = elementCount(tensor.shape);
  const numbers = tensor.dtype === "float32" ? new Float32Array(count) : new Float64Array(count);
  const own = tensor.category === "input" ? Math.min(count, mostInput) : count;
  for (let i = 0; i < own; i++) numbers[i] = next();
  for (let filled = own; filled < count; filled *= 2) numbers.copyWithin(filled, 0, Math.min(filled, count - filled));
  return tensor.dtype === "float32" ? new Uint8Array(numbers.buffer) : bytesOf(tensor.dtype, numbers);
}

/** Uniform numbers from -bound to bound: their variance is bound²/3. */
const uniform = (bound: number, random: () => number) => () => (2 * random() - 1) * bound;

/** What an input's elements are drawn from: its range, the places that it indexes, or anything around 0. */
function inputNumber({ dtype, range }: Tensor, uses: readonly Use[], graph: Graph, random: () => number): () => number {
  const isInteger = /^u?int/.test(dtype);
  if (dtype === "bool") return () => 1;
  if (range) {
    const spread = (): number => range[0] + random() * (range[1] - range[0]);
    return isInteger ? () => Math.floor(spread()) : spread;
  }
  if (!isInteger) return uniform(Math.sqrt(3), random);
  const limit = indexLimit(uses, graph);
  return limit === undefined ? () => 1 : () => Math.floor(random() * limit);
}

/** What a parameter's or buffer's elements are drawn from: 1 for scales, 0 for biases, else by what is summed up. */
function weight({ shape, category }: Tensor, uses: readonly Use[], random: () => number): () => number {
  const isScale = uses.some(({ node, slot }) => opOf(node).scales?.includes(slot));
  if (shape.length <= 1 || category === "buffer") return () => (isScale ? 1 : 0);
  const [first] = uses;
  const fanIn = (first && opOf(first.node).fanIn?.(first.node, shape)) ?? elementCount(shape.slice(1));
  return uniform(Math.sqrt(3 / fanIn), random);
}

/** For each input of a forward graph that holds places in other tensors, how many those have at least. */
export function placeLimits(forward: Graph): ReadonlyMap<string, number> {
  const read = readersOf(forward);
  return new Map(
    forward.inputs.flatMap((name) => {
      const limit = indexLimit(usesOf(read, name), forward);
      return limit === undefined ? [] : [[name, limit] as const];
    }),
  );
}

/** How many entries the tensors have that an integer input indexes; undefined if it indexes none. */
function indexLimit(uses: readonly Use[], graph: Graph): number | undefined {
  const limits = uses.flatMap(({ node, slot }) => {
    const data = graph.tensors.get(node.inputs[0] ?? "");
    const axis = (node.attributes.axis?.value as number | undefined) ?? 0;
    const size = slot === opOf(node).picks ? data?.shape.at(axis) : undefined;
    return size === undefined ? [] : [size];
  });
  return limits.length ? Math.min(...limits) : undefined;
}
