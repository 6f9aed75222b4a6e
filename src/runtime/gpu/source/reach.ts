import { elementCount, type Graph, type Node, type Tensor } from "../../../graph/graph.js";
import { reductions } from "./expressions.js";
import { scalarOf } from "./pointwise.js";

/** How a value of the body depends on where in the full shape one is. */
export type Reach = "full" | "row" | "constant";

/** Reach of the inputs that are used and of all that is made of them; a row goes over the `trailing` axes of the shape. */
export function reachesOf(
  body: Graph,
  used: readonly string[],
  shape: readonly number[],
  trailing: number,
): ReadonlyMap<string, Reach> {
  const type = (name: string): Tensor => body.tensors.get(name) as Tensor;
  const reach = new Map<string, Reach>();
  for (const name of used) {
    const tensor = type(name);
    if (elementCount(tensor.shape) === 1) reach.set(name, "constant");
    else {
      const padded = [...new Array<number>(shape.length - tensor.shape.length).fill(1), ...tensor.shape];
      reach.set(name, padded.slice(shape.length - trailing).every((n) => n === 1) ? "row" : "full");
    }
  }
  for (const node of body.nodes) {
    const from = node.inputs
      .filter((name) => name && scalarOf(type(name)) === undefined)
      .map((name) => reach.get(name) ?? "constant");
    const own: Reach = reductions[node.op]
      ? "row"
      : from.includes("full")
        ? "full"
        : from.includes("row") || elementCount(type(node.outputs[0] as string).shape) > 1
          ? "row"
          : "constant";
    reach.set(node.outputs[0] as string, own);
  }
  return reach;
}

/** How many reductions have to be finished before each value that the body makes is known. */
export function levelsOf(body: Graph): ReadonlyMap<string, number> {
  const level = new Map<string, number>();
  for (const node of body.nodes) {
    const before = Math.max(0, ...node.inputs.map((name) => level.get(name) ?? 0));
    level.set(node.outputs[0] as string, before + (reductions[node.op] ? 1 : 0));
  }
  return level;
}

/** The nodes that make the full values needed for some results, in order. */
export function fullNodesFor(names: readonly string[], body: Graph, reach: ReadonlyMap<string, Reach>): Node[] {
  const maker = new Map(body.nodes.map((node) => [node.outputs[0] as string, node]));
  const found = new Set<Node>();
  const visit = (name: string): void => {
    const node = maker.get(name);
    if (!node || found.has(node) || reach.get(name) !== "full") return;
    for (const input of node.inputs) if (input) visit(input);
    found.add(node);
  };
  for (const name of names) visit(name);
  return body.nodes.filter((node) => found.has(node));
}
