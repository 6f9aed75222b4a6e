import { originalName, parseName } from "./names.js";
import { modulePath, namesOf, type Origins, type Source } from "./origins.js";

/** Where a node comes from. */
export interface Origin {
  /** The path of its module. */
  readonly module: string;
  readonly source?: Source;
}

/** What is known of names, made once for each table. */
interface Known {
  readonly nodes: ReadonlyMap<string, Origin>;
  readonly fused: ReadonlyMap<string, string>;
}

const tables = new WeakMap<Origins, Known>();

function tableOf(origins: Origins): Known {
  const before = tables.get(origins);
  if (before) return before;
  const nodes = new Map(
    origins.nodes.flatMap(([name, module, source]): [string, Origin][] => {
      const found = origins.modules[module];
      if (!found) return [];
      const line = source === undefined ? undefined : origins.sources[source];
      return [[name, { module: found.path, ...(line ? { source: line } : {}) }]];
    }),
  );
  const known = { nodes, fused: new Map(origins.fused ?? []) };
  tables.set(origins, known);
  return known;
}

/** Whether a name may end in a mark: asked before the parser is, which reads the whole of a name. */
const mayBeMarked = (name: string): boolean =>
  name.endsWith(".grad") || name.endsWith(".next") || name.includes("@", name.length - 32);

/** Scopes and marks that names have at most; only the last ones of longer names are taken off. */
const mostScopes = 64;

/**
 * The first known of the names from which something may have its name, nearest first: itself, then without marks and
 * without the last scope, one after the other (names.ts): `/fc/Gemm@micro2.grad/MatMul`, …, `/fc/Gemm`, `/fc`. Undefined
 * if none is known.
 */
export function knownOriginal(name: string, isKnown: (name: string) => boolean): string | undefined {
  let rest = name;
  for (let count = 0; rest && count < mostScopes; count++) {
    if (isKnown(rest)) return rest;
    const original = mayBeMarked(rest) ? parseName(rest).original : rest;
    rest = original === rest ? rest.slice(0, Math.max(rest.lastIndexOf("/"), 0)) : original;
  }
  return undefined;
}

/** The origin of a node by its name, or of the node that it is made of; undefined if the table knows none of them. */
export function originOf(origins: Origins, name: string): Origin | undefined {
  const { nodes, fused } = tableOf(origins);
  const found = nodes.get(knownOriginal(name, (one) => nodes.has(one)) ?? "");
  const whole = fused.get(mayBeMarked(name) ? originalName(name) : name);
  return found && whole !== undefined ? { ...found, module: whole } : found;
}

/**
 * The module of a parameter by its name: `layer2.0.conv1` of `layer2.0.conv1.weight`; of a name with slashes
 * (`model/dense/MatMul/ReadVariableOp:0`) the nearest that is known. Undefined where the name does not tell.
 */
export function moduleOfParameter(name: string, known: ReadonlySet<string>): string | undefined {
  if (/[/:]/.test(name)) {
    const names = namesOf(modulePath(name.slice(0, 4000).split("/")));
    while (names.length && !known.has(names.join("."))) names.pop();
    return names.length ? names.join(".") : undefined;
  }
  const dot = name.lastIndexOf(".");
  return dot < 0 ? undefined : modulePath([name.slice(0, dot)]);
}
