import type { Model, ModelNode } from "./model.js";
import { readsOf } from "./subgraphs.js";

/** For each tensor that a node makes, that node. */
export function makersOf(nodes: readonly ModelNode[]): Map<string, ModelNode> {
  const makers = new Map<string, ModelNode>();
  for (const node of nodes) for (const name of node.outputs) if (name) makers.set(name, node);
  return makers;
}

/**
 * What some tensors are made of: their names and those of all that they depend on, and the nodes that make them.
 * `reads` says what a node depends on (default: all that it reads); nothing is asked behind a name in `known`.
 */
export function ancestorsOf(
  wanted: readonly string[],
  makers: ReadonlyMap<string, ModelNode>,
  reads: (node: ModelNode) => readonly string[] = readsOf,
  known: { has(name: string): boolean } = new Set<string>(),
): { names: Set<string>; nodes: Set<ModelNode> } {
  const names = new Set<string>();
  const nodes = new Set<ModelNode>();
  const open = [...wanted];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (!name || names.has(name)) continue;
    names.add(name);
    const node = known.has(name) ? undefined : makers.get(name);
    if (!node || nodes.has(node)) continue;
    nodes.add(node);
    for (const read of reads(node)) open.push(read);
  }
  return { names, nodes };
}

/**
 * The part of a model that some of its tensors need: everything else is left out, whatever it is. Throws why the first
 * thing that they need cannot be read.
 */
export function neededPart(model: Model, outputs: readonly string[]): Model {
  const { names, nodes } = ancestorsOf(outputs, makersOf(model.nodes));
  for (const name of [...names].reverse()) {
    const why = model.unreadable?.get(name);
    if (why) throw why;
  }
  return {
    ...model,
    inputs: model.inputs.filter(({ name }) => names.has(name)),
    outputs: outputs.map(
      (name) => model.outputs.find((output) => output.name === name) ?? { name, dtype: "float32", dims: [] },
    ),
    initializers: new Map([...model.initializers].filter(([name]) => names.has(name))),
    nodes: model.nodes.filter((node) => nodes.has(node)),
  };
}
