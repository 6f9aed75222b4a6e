import type { Initializer, ModelNode, Subgraph } from "./model.js";

/** The names that a node reads: its inputs, and what its subgraphs take from around them; each once. */
export function readsOf(node: ModelNode): readonly string[] {
  if (!node.subgraphs) return node.inputs;
  const names = new Set(node.inputs);
  for (const subgraph of Object.values(node.subgraphs)) for (const name of capturesOf(subgraph)) names.add(name);
  return [...names];
}

/** Names that a subgraph makes or declares itself. */
const ownNames = ({ inputs, initializers, nodes, unreadable }: Subgraph): Set<string> =>
  new Set([...inputs, ...initializers.keys(), ...unreadable.keys(), ...nodes.flatMap(({ outputs }) => outputs)]);

/** Names that a subgraph reads, or hands on, of the graphs around it. */
function capturesOf(subgraph: Subgraph): string[] {
  const own = ownNames(subgraph);
  const read = [...subgraph.nodes.flatMap(readsOf), ...subgraph.outputs];
  return read.filter((name) => name && !own.has(name));
}

/** What a subgraph adds to the graph around it when its nodes become that graph's. */
export interface Instance {
  readonly nodes: readonly ModelNode[];
  readonly initializers: ReadonlyMap<string, Initializer>;
  readonly unreadable: ReadonlyMap<string, Error>;
  /** The subgraph's outputs, by their names in the graph around it. */
  readonly outputs: readonly string[];
}

/**
 * A subgraph as nodes of the graph around it: its own nodes and tensors under names that start with `scope`, its inputs
 * under the names that they are given.
 */
export function instanceOf(subgraph: Subgraph, scope: string, inputs: readonly string[] = []): Instance {
  const names = new Map([...ownNames(subgraph)].map((name) => [name, name && `${scope}${name}`]));
  subgraph.inputs.forEach((name, i) => {
    const given = inputs[i];
    if (given) names.set(name, given);
  });
  const rename = (name: string): string => names.get(name) ?? name;
  const renamed = <T>(map: ReadonlyMap<string, T>): Map<string, T> =>
    new Map([...map].map(([name, value]) => [rename(name), value]));
  return {
    nodes: subgraph.nodes.map((node) => ({ ...renamedNode(node, rename), name: `${scope}${node.name}` })),
    initializers: renamed(subgraph.initializers),
    unreadable: renamed(subgraph.unreadable),
    outputs: subgraph.outputs.map(rename),
  };
}

type Rename = (name: string) => string;

function renamedNode(node: ModelNode, rename: Rename): ModelNode {
  const { inputs, outputs, subgraphs } = node;
  const inner = subgraphs && {
    subgraphs: Object.fromEntries(Object.entries(subgraphs).map(([name, graph]) => [name, recaptured(graph, rename)])),
  };
  return { ...node, inputs: inputs.map(rename), outputs: outputs.map(rename), ...inner };
}

/** A subgraph that reads what is around it by other names; a name of its own hides one from outside. */
function recaptured(subgraph: Subgraph, rename: Rename): Subgraph {
  const own = ownNames(subgraph);
  const outer: Rename = (name) => (own.has(name) ? name : rename(name));
  return {
    ...subgraph,
    nodes: subgraph.nodes.map((node) => renamedNode(node, outer)),
    outputs: subgraph.outputs.map(outer),
  };
}
