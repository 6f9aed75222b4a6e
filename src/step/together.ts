import { Builder } from "../build/build.js";
import { type Graph, type GraphTrial, isFloat, type Node, type Tensor, tensorOf } from "../graph/graph.js";
import type { Module, Origins } from "../graph/origins.js";
import { cast } from "../ops/shapes.js";
import { lowerFor, type Target } from "./lower.js";

/** A finished training step, and the name that it has in a joint graph. */
export interface Member {
  readonly name: string;
  /** As a runtime executes it (`stepFor`); with `trials` where it trains several models fused into one. */
  readonly graph: Graph;
}

/**
 * One graph of several finished training steps, which share nothing: names have their member's before them (`m3/fc.weight`),
 * and each node is the one that the step has alone, so that it computes the same. Outputs are all losses, and `loss` is
 * their sum.
 *
 * The steps are dealt out to so many lanes. Those of one lane follow one another, and what they hold in between shares a
 * place: one lane takes the least memory. Lanes go on at the same pace. Throws `names that meet: …`, and
 * `not a training step: …` for a graph without a loss.
 */
export function together(runtime: Target, members: readonly Member[], lanes = 1): Graph {
  checkNames(members);
  const parts = members.map(({ name, graph }, i) => prefixed(graph, name, i % lanes, lanes));
  const tensors = new Map<string, Tensor>();
  for (const part of parts) for (const [name, tensor] of part.tensors) tensors.set(name, tensor);
  const losses = parts.map((part) => part.loss as string);
  const sum = sumOf(runtime, losses, tensors, freeScope(members));
  for (const [name, tensor] of sum.tensors) if (!tensors.has(name)) tensors.set(name, tensor);
  const origins = jointOrigins(parts.map(({ origins }) => origins));
  const trials = parts.flatMap((part) => part.trials as readonly GraphTrial[]);
  return {
    name: members.map(({ graph }) => graph.name).join("+"),
    nodes: [...atOnePace(parts, lanes), ...sum.nodes],
    tensors,
    inputs: parts.flatMap(({ inputs }) => inputs),
    outputs: [...new Set([...trials.map(({ loss }) => loss), ...parts.flatMap(({ outputs }) => outputs), sum.loss])],
    state: parts.flatMap(({ state }) => state),
    loss: sum.loss,
    trials,
    ...(origins && { origins }),
  };
}

function checkNames(members: readonly Member[]): void {
  const seen = new Set<string>();
  for (const { name, graph } of members) {
    if (!/^[\w.-]+$/.test(name)) throw new Error(`name of a model is not letters, digits and . _ -: ${name}`);
    if (seen.has(name)) throw new Error(`names that meet: two models are called ${name} (give each a name of its own)`);
    seen.add(name);
    if (!graph.loss) throw new Error(`not a training step: ${graph.name} (model ${name})`);
  }
  if (!members.length) throw new Error("no models to train together");
}

/** A step with a name and a slash before all names of it, its first lane that one, further ones so many after it. */
function prefixed(graph: Graph, member: string, first: number, lanes: number): Graph {
  const named = (name: string): string => name && `${member}/${name}`;
  const nodes = graph.nodes.map((node): Node => {
    // lanes of its own stay lanes of its own
    const lane = first + lanes * (node.lane ?? 0);
    return {
      ...node,
      name: named(node.name),
      inputs: node.inputs.map(named),
      outputs: node.outputs.map(named),
      ...(lane ? { lane } : {}),
    };
  });
  const tensors = new Map<string, Tensor>();
  for (const tensor of graph.tensors.values()) {
    const { within } = tensor;
    const name = named(tensor.name);
    tensors.set(name, { ...tensor, name, ...(within && { within: { ...within, tensor: named(within.tensor) } }) });
  }
  const own: readonly GraphTrial[] = graph.trials ?? [{ name: member, array: "", loss: graph.loss as string }];
  return {
    name: graph.name,
    nodes,
    tensors,
    inputs: graph.inputs.map(named),
    outputs: graph.outputs.map(named),
    state: graph.state.map(({ before, after }) => ({ before: named(before), after: named(after) })),
    loss: named(graph.loss as string),
    trials: own.map((trial) => ({
      ...trial,
      array: trial.array ? named(trial.array) : member,
      loss: named(trial.loss),
    })),
    ...(graph.origins && { origins: prefixedOrigins(graph.origins, member) }),
  };
}

/** Modules of a member are those of a module of its name. */
function prefixedOrigins(origins: Origins, member: string): Origins {
  const path = (module: string): string => (module ? `${member}.${module}` : member);
  return {
    ...origins,
    modules: origins.modules.map((module): Module => ({ ...module, path: path(module.path) })),
    nodes: origins.nodes.map(([name, ...where]) => [`${member}/${name}`, ...where] as const),
    ...(origins.fused && {
      fused: origins.fused.map(([name, module]) => [`${member}/${name}`, path(module)] as const),
    }),
  };
}

/** The tables of several graphs as one, by the basis of the first; undefined where none has one. */
function jointOrigins(all: readonly (Origins | undefined)[]): Origins | undefined {
  const known = all.filter((origins) => origins !== undefined);
  const [first] = known;
  if (!first) return undefined;
  const modules: Module[] = [];
  const sources: Origins["sources"][number][] = [];
  const nodes: Origins["nodes"][number][] = [];
  const fused: NonNullable<Origins["fused"]>[number][] = [];
  for (const origins of known) {
    const [module, source] = [modules.length, sources.length];
    for (const [name, m, s] of origins.nodes)
      nodes.push(s === undefined ? [name, module + m] : [name, module + m, source + s]);
    modules.push(...origins.modules);
    sources.push(...origins.sources);
    fused.push(...(origins.fused ?? []));
  }
  return { basis: first.basis, modules, sources, nodes, ...(fused.length ? { fused } : {}) };
}

/** A first name that no member's names begin with. */
function freeScope(members: readonly Member[]): string {
  const taken = new Set(members.map(({ name }) => name));
  let scope = "loss";
  while (taken.has(scope)) scope += "_";
  return scope;
}

/** The sum of scalars as a runtime computes it, in float64 if one of them is of that type, else in float32. */
function sumOf(
  runtime: Target,
  losses: readonly string[],
  tensors: ReadonlyMap<string, Tensor>,
  scope: string,
): Pick<Graph, "nodes" | "tensors"> & { readonly loss: string } {
  const [first = ""] = losses;
  if (losses.length === 1) return { nodes: [], tensors: new Map(), loss: first };
  const given = losses.map((name): [string, Tensor] => [name, tensorOf({ name: "together", tensors }, name)]);
  const b = new Builder({ nodes: [], tensors: new Map(given) });
  b.phase = "loss";
  b.scope = scope;
  const types = given.map(([, { dtype }]) => dtype);
  const dtype = types.includes("float64") ? "float64" : "float32";
  for (const [name, type] of given)
    if (!isFloat(type.dtype) || type.shape.length) throw new Error(`loss is not a scalar of floats: ${name}`);
  const sum = losses.map((name) => cast(b, name, dtype)).reduce((total, loss) => b.op("Add", [total, loss]));
  b.rename(sum, scope);
  const graph = { name: scope, nodes: b.nodes, tensors: b.tensors, inputs: losses, outputs: [scope], state: [] };
  return { ...lowerFor(runtime, graph), loss: scope };
}

/** The nodes of all graphs in one list: next is always one of the lane of which the least share is done. */
function atOnePace(parts: readonly Graph[], lanes: number): Node[] {
  const all = Array.from({ length: lanes }, (_, lane) =>
    parts.filter((_, i) => i % lanes === lane).flatMap(({ nodes }) => nodes),
  );
  const nodes = all.flatMap((lane) => lane.map((node, i) => ({ node, share: (i + 1) / lane.length })));
  // equal shares stay in the order of their lanes: sort is stable
  return nodes.sort((a, z) => a.share - z.share).map(({ node }) => node);
}
