import type { Graph } from "../graph/graph.js";
import { consumers, producers } from "../graph/graph.js";
import { knownOriginal, moduleOfParameter } from "../graph/origin-of.js";
import {
  commonPath,
  type Module,
  modulePath,
  namesOf,
  type OriginBasis,
  type Origins,
  type Source,
} from "../graph/origins.js";
import { ops } from "../ops/index.js";
import type { ModelNode } from "./model.js";

/** Where a node of the file comes from, as far as the file says it. */
interface Told {
  readonly path?: string;
  readonly source?: Source;
}

type Named = Pick<ModelNode, "name" | "scope">;

/** Names of calls that TensorFlow's converters put before a model's own. */
const isWrapper = (name: string): boolean => /^(Stateful)?PartitionedCall(_\d+)?$/.test(name);

/** Names longer than this tell no more of the module. */
const longestName = 4000;

/**
 * The scopes of a node's name, outermost first, as a path: `layer2.0.conv1` of `/layer2/layer2.0/conv1/Conv`, where a
 * scope may repeat the one before. Undefined of a name without scopes.
 */
function pathInName(name: string): string | undefined {
  const scopes = (name.slice(0, longestName).split(";")[0] ?? "").split("/");
  if (scopes.length < 2) return undefined;
  const names: string[] = [];
  for (const scope of scopes.slice(0, -1)) {
    if (!scope || isWrapper(scope)) continue;
    const before = names.at(-1);
    const repeats = before !== undefined && [before, calledOnce(before)].some((one) => scope.startsWith(`${one}.`));
    if (repeats) names[names.length - 1] = scope;
    else names.push(scope);
  }
  return modulePath(names);
}

/** TorchScript numbers the calls of a module from the second on: `relu_1`. */
const calledOnce = (name: string): string => name.replace(/_\d+$/, "");

/** A path and those of the modules around it. */
const around = (path: string): string[] => namesOf(path).map((_, i, names) => names.slice(0, i + 1).join("."));

/**
 * Paths by node, with the numbers of second calls taken off: where a module of the name without number is there too, and
 * no parameter is of the numbered one.
 */
function pathsInNames(nodes: readonly Named[], parameters: readonly string[]): Map<string, string> {
  /** The paths of scopes, of which many nodes stand in one. */
  const inScopes = new Map<string, string | undefined>();
  const raw = nodes.map(({ name }) => {
    const scope = name.slice(0, name.lastIndexOf("/") + 1);
    if (!inScopes.has(scope)) inScopes.set(scope, pathInName(scope));
    return [name, inScopes.get(scope)] as const;
  });
  const all = new Set([...inScopes.values()].flatMap((path) => around(path ?? "")));
  const own = new Set(parameters.flatMap((name) => around(modulePath([name]))));
  const settled = new Map<string, string>();
  const settle = (path: string): string => {
    const known = settled.get(path);
    if (known !== undefined || !path) return known ?? path;
    const parent = path.slice(0, Math.max(path.lastIndexOf("."), 0));
    const name = path.slice(parent ? parent.length + 1 : 0);
    const inside = parent && `${parent}.`;
    const once = calledOnce(name);
    const isRepeat = once !== name && all.has(inside + once) && !own.has(path);
    const found = [settle(parent), isRepeat ? once : name].filter(Boolean).join(".");
    settled.set(path, found);
    return found;
  };
  return new Map(raw.flatMap(([name, path]) => (path === undefined ? [] : [[name, settle(path)] as const])));
}

/** What the file says of each of its nodes, and what told it; undefined if names of parameters are all there is. */
function told(nodes: readonly Named[], parameters: readonly string[]): { basis: OriginBasis; of: Map<string, Told> } {
  if (nodes.some(({ scope }) => scope?.modules.length)) {
    const of = nodes.map(
      ({ name, scope }) => [name, { path: scope?.modules.at(-1)?.path, source: scope?.source }] as const,
    );
    return { basis: "exporter", of: new Map(of) };
  }
  const paths = pathsInNames(nodes, parameters);
  const of = nodes.map(({ name, scope }) => [name, { path: paths.get(name), source: scope?.source }] as const);
  return { basis: paths.size ? "names" : "parameters", of: new Map(of) };
}

/** Tables of modules and lines, each entry once. */
class Lists {
  readonly modules: Module[] = [];
  readonly sources: Source[] = [];
  private readonly known = new Map<string, number>();

  module(path: string, type?: string): number {
    return this.add(this.modules, `m${path}`, { path, ...(type ? { class: type } : {}) });
  }

  source(source: Source): number {
    return this.add(this.sources, `s${source.file}:${source.line}`, source);
  }

  private add<T>(list: T[], key: string, entry: T): number {
    const index = this.known.get(key) ?? list.push(entry) - 1;
    this.known.set(key, index);
    return index;
  }
}

/**
 * Where the nodes of a forward graph come from: by what the exporter noted in the file, else by the names of nodes, else by
 * the parameters that they read. A node of which none of these tells is in the module that holds those before and behind
 * it. Undefined if the file has no names of modules anywhere.
 */
export function originsOf(nodes: readonly Named[], graph: Graph): Origins | undefined {
  const parameters = [...graph.tensors.values()]
    .filter(({ category }) => category === "parameter")
    .map(({ name }) => name);
  const { basis, of } = told(nodes, parameters);
  if (basis === "parameters" && !parameters.some((name) => name.includes("."))) return undefined;
  const lists = new Lists();
  for (const { scope } of nodes) for (const one of scope?.modules ?? []) lists.module(one.path, one.class);
  const entries = new Map<string, readonly [string, number, number?]>();
  const enter = (name: string, path: string, source?: Source): void => {
    const module = lists.module(path);
    entries.set(name, source ? [name, module, lists.source(source)] : [name, module]);
  };
  const tellers = graph.nodes.map(({ name }) => knownOriginal(name, (one) => of.get(one)?.path !== undefined));
  const paths = tellers.map((teller) => (teller === undefined ? undefined : of.get(teller)?.path));
  const whole = inferred(graph, paths);
  graph.nodes.forEach(({ name }, rank) => {
    const teller = tellers[rank];
    if (teller !== undefined) {
      if (!entries.has(teller)) enter(teller, paths[rank] as string, of.get(teller)?.source);
    } else {
      const named = knownOriginal(name, (one) => of.has(one));
      enter(name, whole[rank] as string, of.get(named ?? "")?.source);
    }
  });
  return { basis, modules: lists.modules, sources: lists.sources, nodes: [...entries.values()] };
}

/** The paths with those that are not known filled in: by parameters that the node reads, then by the nodes around it. */
function inferred(graph: Graph, paths: readonly (string | undefined)[]): readonly string[] {
  const isKnown = (all: readonly (string | undefined)[]): all is readonly string[] => !all.includes(undefined);
  if (isKnown(paths)) return paths;
  const known = new Set([...new Set(paths)].flatMap((path) => around(path ?? "")));
  const own = graph.nodes.map(({ inputs }, rank) => {
    if (paths[rank] !== undefined) return paths[rank];
    const read = inputs.flatMap((name) =>
      graph.tensors.get(name)?.category === "parameter" ? (moduleOfParameter(name, known) ?? []) : [],
    );
    return read.length ? read.reduce(commonPath) : undefined;
  });
  const made = producers(graph);
  const read = consumers(graph);
  const before: (number | undefined)[] = [];
  const behind: (number | undefined)[] = [];
  /** Of those in whose place it stands: the last before it, the first behind it. */
  const next = (
    ranks: readonly number[],
    found: readonly (number | undefined)[],
    pick: (...all: number[]) => number,
  ) => {
    const places = ranks.flatMap((rank) => (own[rank] === undefined ? (found[rank] ?? []) : rank));
    return places.length ? places.reduce((a, z) => pick(a, z)) : undefined;
  };
  graph.nodes.forEach(({ inputs }, rank) => {
    before[rank] = next(
      inputs.flatMap((name) => made.get(name) ?? []),
      before,
      Math.max,
    );
  });
  for (let rank = graph.nodes.length - 1; rank >= 0; rank--)
    behind[rank] = next(graph.nodes[rank]?.outputs.flatMap((name) => read.get(name) ?? []) ?? [], behind, Math.min);
  return own.map((path, rank) => {
    const [up, down] = [own[before[rank] ?? -1], own[behind[rank] ?? -1]];
    return path ?? (up === undefined || down === undefined ? (up ?? down ?? "") : commonPath(up, down));
  });
}

/**
 * The same for a step whose run was saved without it: by the names of its forward nodes, of which some stand for several
 * of the file, so that names of ops at their end are none of modules.
 */
export function originsOfStep(graph: Graph): Origins | undefined {
  const forward = { ...graph, nodes: graph.nodes.filter(({ phase }) => phase === "forward") };
  const isOp = (name: string): boolean =>
    ["", "com.microsoft:", "mutwo:"].some((domain) => ops.has(domain + calledOnce(name)));
  const nodes = forward.nodes.map(({ name }): Named => {
    const scopes = name.split("/");
    while (scopes.length > 2 && isOp(scopes.at(-1) ?? "") && isOp(scopes.at(-2) ?? "")) scopes.pop();
    return { name: scopes.join("/") };
  });
  return originsOf(nodes, forward);
}
