import type { Attributes, Graph, Node, Tensor } from "../graph/graph.js";
import { opOf } from "../ops/index.js";

/** A model with the name that messages call it by. */
export interface NamedModel {
  readonly name: string;
  readonly graph: Graph;
}

/**
 * Why models cannot be one graph with a model axis: what differs first between the architecture of the first and that of
 * another. undefined if they differ in nothing but names and in what constants, parameters and buffers hold.
 */
export function differingArchitecture(models: readonly NamedModel[]): string | undefined {
  const [first, ...others] = models;
  for (const other of others) {
    const difference = first && other.graph !== first.graph ? differenceOf(first.graph, other.graph) : undefined;
    if (difference) return `${other.name} is built otherwise than ${first?.name}: ${difference}`;
  }
  return undefined;
}

/** The names that tensors have in another graph of the same architecture, by those in the first. */
export function namesIn(first: Graph, other: Graph): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  first.nodes.forEach((node, i) => {
    const peer = other.nodes[i] as Node;
    for (const [from, to] of [
      [node.inputs, peer.inputs],
      [node.outputs, peer.outputs],
    ] as const)
      from.forEach((name, k) => {
        if (name) names.set(name, to[k] as string);
      });
  });
  return names;
}

function differenceOf(a: Graph, z: Graph): string | undefined {
  if (a.nodes.length !== z.nodes.length) return `${z.nodes.length} nodes, not ${a.nodes.length}`;
  const names = new Map<string, string>();
  const back = new Map<string, string>();
  const meet = (name: string, other: string): string | undefined => {
    if ((names.get(name) ?? other) !== other || (back.get(other) ?? name) !== name) return `reads ${other}`;
    if (!name || names.has(name)) return undefined;
    names.set(name, other);
    back.set(other, name);
    return differingTensor(a.tensors.get(name), z.tensors.get(other));
  };
  for (const [i, node] of a.nodes.entries()) {
    const peer = z.nodes[i] as Node;
    const difference =
      differingNode(node, peer) ??
      firstOf(node.inputs, (name, k) => meet(name, peer.inputs[k] as string)) ??
      firstOf(node.outputs, (name, k) => meet(name, peer.outputs[k] as string));
    if (difference) return `node ${peer.name} (${peer.op}): ${difference}`;
  }
  const known = (list: readonly string[]): string => list.map((name) => names.get(name) ?? "").join();
  if (known(a.outputs) !== z.outputs.map((name) => (back.has(name) ? name : "")).join()) return "other outputs";
  const pairs = a.state.map(({ before, after }) => `${names.get(before)} ${names.get(after)}`).sort();
  if (
    pairs.join() !==
    z.state
      .map(({ before, after }) => `${before} ${after}`)
      .sort()
      .join()
  )
    return "other statistics";
  return undefined;
}

function firstOf(
  list: readonly string[],
  difference: (name: string, k: number) => string | undefined,
): string | undefined {
  for (const [k, name] of list.entries()) {
    const found = difference(name, k);
    if (found) return found;
  }
  return undefined;
}

function differingTensor(a: Tensor | undefined, z: Tensor | undefined): string | undefined {
  if (!a || !z) return a === z ? undefined : "another input";
  const textOf = ({ category, dtype, shape }: Tensor): string => `${category} ${dtype}[${shape}]`;
  return textOf(a) === textOf(z) ? undefined : `${z.name} is ${textOf(z)}, not ${textOf(a)}`;
}

function differingNode(a: Node, z: Node): string | undefined {
  if (a.op !== z.op || a.domain !== z.domain) return `not ${a.op}`;
  if (a.inputs.length !== z.inputs.length || a.outputs.length !== z.outputs.length) return "another number of inputs";
  const attributes = textOfAttributes(a.attributes, opOf(a).random !== undefined);
  return attributes === textOfAttributes(z.attributes, opOf(z).random !== undefined) ? undefined : "other attributes";
}

/** Attributes as text in the order of their names; a random op's seed is each model's own. */
const textOfAttributes = (attributes: Attributes, isRandom: boolean): string =>
  Object.entries(attributes)
    .filter(([name]) => !(isRandom && name === "seed"))
    .sort(([a], [z]) => (a < z ? -1 : 1))
    .map(([name, { type, value }]) =>
      type === "tensor"
        ? `${name} ${value.dtype}[${value.shape}] ${Buffer.from(value.data).toString("base64")}`
        : `${name} ${type} ${value}`,
    )
    .join();
