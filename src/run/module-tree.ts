import { type Category, categories, type Phase, phases } from "../graph/graph.js";
import { namesOf, type OriginBasis, type Source } from "../graph/origins.js";
import { isOutside, type Modules, modulesOf } from "./modules.js";
import type { NodeRow } from "./node-rows.js";
import { type PeakPart, peakParts, stepOf } from "./peak-parts.js";
import { perStep, type Which } from "./planned-rows.js";
import type { Run } from "./run.js";

/** What a module takes of a step, and what a plan does about it. */
export interface ModuleCosts {
  /** Nodes of the schedule; an update of several modules' parameters counts where they all are. */
  readonly nodes: number;
  /** Time of those nodes by phase, ms; a flat update's is divided by elements. */
  readonly phaseMs: Readonly<Record<Phase, number>>;
  /** Their sum. */
  readonly ms: number;
  /** Of the sum of all nodes' times. */
  readonly timeShare: number;
  /** Bytes that are live at the step's peak, by category. */
  readonly peakBytesBy: Readonly<Record<Category, number>>;
  /** Their sum. */
  readonly peakBytes: number;
  /** Of the peak (by the timeline). */
  readonly peakShare: number;
  /** Activations that the backward phase reads: rows of the activation table. */
  readonly saved: number;
  readonly savedBytes: number;
  /** Decisions of the run's plan, by what they do. */
  readonly recomputed: number;
  readonly swapped: number;
  /** Bytes that those free, and time that they add, ms: predicted. */
  readonly freedBytes: number;
  readonly addedMs: number;
}

/** What one line of the user's code takes, of a module's own. */
export interface LineCosts {
  readonly source: Source;
  readonly nodes: number;
  readonly ms: number;
  readonly peakBytes: number;
}

/** A module with what is in it. */
export interface ModuleBranch {
  /** Its last name, `conv1`; the model's file at the root. */
  readonly name: string;
  /** Names from the root down, joined by dots; "" at the root; one of `outside` of what is in no module. */
  readonly path: string;
  /** The class as the exporter noted it, `torch.nn.modules.conv.Conv2d`, or null. */
  readonly class: string | null;
  /** The first line of the user's code that a node of its own comes from, or null. */
  readonly source: Source | null;
  /** What is in no module inside of it. */
  readonly own: ModuleCosts;
  /** Own and all inside: the root's are the whole step's. */
  readonly total: ModuleCosts;
  /** Lines of the user's code that its own nodes come from, the longest first. */
  readonly lines: readonly LineCosts[];
  /** In the order in which the step first meets them; what is in no module last. */
  readonly children: readonly ModuleBranch[];
}

/** A run's modules: a tree of costs, and what told it. */
export interface ModuleTree {
  /** What told the modules; null where the model file has no names of modules, and everything is in `(no module)`. */
  readonly basis: OriginBasis | null;
  readonly root: ModuleBranch;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends number ? number : { -readonly [L in keyof T[K]]: T[K][L] } };

type Costs = Mutable<ModuleCosts>;

type Line = { -readonly [K in keyof LineCosts]: LineCosts[K] };

/** A module while the tree is made. */
interface Growing {
  readonly name: string;
  readonly path: string;
  readonly own: Costs;
  readonly lines: Map<string, Line>;
  source: Source | null;
  readonly children: Map<string, Growing>;
}

const zeros = <K extends string>(keys: readonly K[]): Record<K, number> =>
  Object.fromEntries(keys.map((key) => [key, 0])) as Record<K, number>;

const [noMs, noBytes] = [zeros(phases), zeros(categories)];

const noCosts = (): Costs => ({
  nodes: 0,
  phaseMs: { ...noMs },
  ms: 0,
  timeShare: 0,
  peakBytesBy: { ...noBytes },
  peakBytes: 0,
  peakShare: 0,
  saved: 0,
  savedBytes: 0,
  recomputed: 0,
  swapped: 0,
  freedBytes: 0,
  addedMs: 0,
});

const sprout = (name: string, path: string): Growing => ({
  name,
  path,
  own: noCosts(),
  lines: new Map(),
  source: null,
  children: new Map(),
});

/** Finds the branch of a path, and grows it where there is none. */
function branchAt(root: Growing, path: string): Growing {
  let branch = root;
  for (const name of isOutside(path) ? [path] : namesOf(path)) {
    const inside = branch.path ? `${branch.path}.${name}` : name;
    const next = branch.children.get(name) ?? sprout(name, inside);
    branch.children.set(name, next);
    branch = next;
  }
  return branch;
}

/** The branch of each path, found once. */
type Branches = (path: string) => Growing;

function branchesFrom(root: Growing): Branches {
  const found = new Map<string, Growing>();
  return (path) => {
    const branch = found.get(path) ?? branchAt(root, path);
    found.set(path, branch);
    return branch;
  };
}

/**
 * What each module of the model takes of a step (by default the unplanned one), as a tree whose root is the whole: node times,
 * bytes at the peak, saved activations, and what the run's plan decides for them. Throws `run has no plan: …` for the
 * planned step of a run without one.
 */
export const moduleTree = (run: Run, which: Which = "unplanned"): ModuleTree => treeBy[which](run);

const treeBy = perStep((run, which): ModuleTree => {
  const modules = modulesOf(run);
  const root = sprout(run.model.file, "");
  const branchOf = branchesFrom(root);
  const { nodes } = stepOf(run, which);
  const parts = peakParts(run, which);
  addNodes(branchOf, modules, nodes);
  addPeak(branchOf, parts);
  addActivations(branchOf, modules, run);
  const ms = nodes.reduce((sum, { time }) => sum + time.medianMs, 0);
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  return { basis: modules.basis, root: finished(root, modules.classes, { ms, bytes }) };
});

function addNodes(branchOf: Branches, modules: Modules, nodes: readonly NodeRow[]): void {
  for (const { name, phase, time } of nodes) {
    const { module, source } = modules.ofNode(name);
    const branch = branchOf(module);
    branch.own.nodes++;
    if (source) {
      branch.source ??= source;
      const line = lineOf(branch, source);
      line.nodes++;
      line.ms += time.medianMs;
    }
    for (const { module: part, share } of modules.sharesOfNode(name)) {
      const { own } = branchOf(part);
      own.phaseMs[phase] += time.medianMs * share;
      own.ms += time.medianMs * share;
    }
  }
}

function lineOf({ lines }: Growing, source: Source): Line {
  const key = `${source.file}:${source.line}`;
  const line = lines.get(key) ?? { source, nodes: 0, ms: 0, peakBytes: 0 };
  lines.set(key, line);
  return line;
}

function addPeak(branchOf: Branches, parts: readonly PeakPart[]): void {
  for (const { module, category, bytes, source } of parts) {
    const branch = branchOf(module);
    branch.own.peakBytesBy[category] += bytes;
    branch.own.peakBytes += bytes;
    if (source) lineOf(branch, source).peakBytes += bytes;
  }
}

function addActivations(branchOf: Branches, modules: Modules, { before, plan }: Run): void {
  for (const { name, memoryBytes } of before.activations) {
    const { own } = branchOf(modules.ofTensor(name));
    own.saved++;
    own.savedBytes += memoryBytes;
  }
  for (const { activation, action, savedBytes, addedMs } of plan?.decisions ?? []) {
    if (action === "keep") continue;
    const { own } = branchOf(modules.ofTensor(activation));
    own[action === "swap" ? "swapped" : "recomputed"]++;
    own.freedBytes += savedBytes;
    own.addedMs += addedMs;
  }
}

/** Adds what something takes to a sum; shares are made at the end. */
function addTo(sum: Costs, costs: ModuleCosts): void {
  for (const phase of phases) sum.phaseMs[phase] += costs.phaseMs[phase];
  for (const category of categories) sum.peakBytesBy[category] += costs.peakBytesBy[category];
  for (const key of summed) sum[key] += costs[key];
}

const summed = [
  ...(["nodes", "ms", "peakBytes", "saved", "savedBytes", "recomputed", "swapped", "freedBytes", "addedMs"] as const),
];

/** The branch with sums and shares; what is in no module stands last. */
function finished(
  { name, path, own, source, lines, children }: Growing,
  classes: ReadonlyMap<string, string>,
  whole: { readonly ms: number; readonly bytes: number },
): ModuleBranch {
  const inside = [...children.values()].map((child) => finished(child, classes, whole));
  inside.sort((a, z) => Number(isOutside(a.path)) - Number(isOutside(z.path)));
  const total = noCosts();
  for (const costs of [own, ...inside.map((child) => child.total)]) addTo(total, costs);
  for (const costs of [own, total]) {
    costs.timeShare = whole.ms ? costs.ms / whole.ms : 0;
    costs.peakShare = whole.bytes ? costs.peakBytes / whole.bytes : 0;
  }
  return {
    name,
    path,
    class: classes.get(path) ?? null,
    source,
    own,
    total,
    lines: [...lines.values()].sort((a, z) => z.ms - a.ms),
    children: inside,
  };
}

/** A tree's branches from the root down, each before what is in it. */
export const branches = (branch: ModuleBranch): ModuleBranch[] => [branch, ...branch.children.flatMap(branches)];
