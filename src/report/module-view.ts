import { formatBytes, formatCount, formatMs, formatPercent } from "../format.js";
import { phases } from "../graph/graph.js";
import { greatest } from "../graph/lists.js";
import { namesOf, shortClass, sourceText } from "../graph/origins.js";
import { branches, type ModuleBranch, moduleTree } from "../run/module-tree.js";
import { isOutside, moduleText } from "../run/modules.js";
import type { Run } from "../run/run.js";
import { type Figure, figure, phaseColors, shorten, timed } from "./figure.js";

/** What is grouped by module has about so many groups at most. */
const mostGroups = 16;

/** More branches than this are not drawn: modules.csv has them. */
const mostBranches = 300;

/** The longest chart of modules, bars. */
const mostBars = 20;

/**
 * Groups paths by what they have in common: the deepest level of modules at which there are no more than `most` groups, or
 * the topmost one. Returns the group of a path.
 */
export function groupsOf(paths: readonly string[], most = mostGroups): (path: string) => string {
  const cut = (path: string, depth: number): string =>
    isOutside(path) ? path : namesOf(path).slice(0, depth).join(".");
  const deepest = greatest(
    paths.map((path) => (isOutside(path) ? 1 : namesOf(path).length)),
    1,
  );
  let depth = 1;
  while (depth < deepest && new Set(paths.map((path) => cut(path, depth + 1))).size <= most) depth++;
  return (path) => cut(path, depth);
}

/** A module as the page's tree shows it. */
export interface BranchView {
  readonly name: string;
  readonly path: string;
  readonly type: string;
  readonly source: string;
  readonly time: string;
  readonly timeShare: string;
  readonly peak: string;
  readonly peakShare: string;
  /** What the plan does in it; empty without one. */
  readonly decided: string;
  /** null for one without modules inside. */
  readonly children: readonly BranchView[] | null;
  /** Modules inside that are not shown. */
  readonly hidden: number;
  readonly open: boolean;
}

/** Says what told the modules, for somebody who wonders about a name. */
const bases: Readonly<Record<string, string>> = {
  exporter: "as the exporter noted them in the file",
  names: "told by the names of the file's nodes",
  parameters: "told by the names of the parameters that nodes read",
  tables: "as the tables name them",
};

/** The tree of a run's modules; null where the file names none. */
export function moduleTreeView(run: Run) {
  const { basis, root } = moduleTree(run, "unplanned");
  if (basis === null) return null;
  // from the root down, level by level, as many as are shown
  const shown = new Set<ModuleBranch>([root]);
  for (const branch of shown) {
    if (shown.size + branch.children.length > mostBranches) break;
    for (const child of branch.children) shown.add(child);
  }
  const open = new Set<ModuleBranch>();
  let visible = 1;
  for (const branch of shown) {
    if (branch !== root && visible + branch.children.length > mostVisible) break;
    open.add(branch);
    visible += branch.children.length;
  }
  return { basis: bases[basis] ?? "", root: branchView(root, { shown, open }), count: branches(root).length - 1 };
}

/** About so many rows of the tree are visible at first. */
const mostVisible = 30;

interface Extent {
  readonly shown: ReadonlySet<ModuleBranch>;
  readonly open: ReadonlySet<ModuleBranch>;
}

function branchView(branch: ModuleBranch, extent: Extent): BranchView {
  const { name, path, total, source, children } = branch;
  const inside = children.filter((child) => extent.shown.has(child));
  const decided = [
    ...(total.recomputed ? [`${formatCount(total.recomputed)} recomputed`] : []),
    ...(total.swapped ? [`${formatCount(total.swapped)} swapped`] : []),
  ];
  return {
    name: shorten(name),
    path: moduleText(path),
    type: branch.class ? shortClass(branch.class) : "",
    source: source ? sourceText(source) : "",
    time: formatMs(total.ms),
    timeShare: formatPercent(total.timeShare),
    peak: formatBytes(total.peakBytes),
    peakShare: formatPercent(total.peakShare),
    decided: decided.length
      ? `${decided.join(", ")}: ${formatBytes(total.freedBytes)}, +${formatMs(total.addedMs)}`
      : "",
    children: inside.length ? inside.map((child) => branchView(child, extent)) : null,
    hidden: children.length > inside.length ? branches(branch).length - 1 : 0,
    open: extent.open.has(branch),
  };
}

/** Time of the unplanned step's nodes by module and phase, the longest first; null where the file names no modules. */
export function timeByModule(run: Run): Figure | null {
  const { basis, root } = moduleTree(run, "unplanned");
  if (basis === null) return null;
  const own = branches(root).filter((branch) => branch.own.ms > 0);
  const groupOf = groupsOf(
    own.map(({ path }) => path),
    mostBars,
  );
  const sums = new Map<string, Record<(typeof phases)[number], number>>();
  for (const { path, own: costs } of own) {
    const group = moduleText(groupOf(path));
    const sum = sums.get(group) ?? { forward: 0, loss: 0, backward: 0, update: 0 };
    for (const phase of phases) sum[phase] += costs.phaseMs[phase];
    sums.set(group, sum);
  }
  const all = (sum: Record<string, number>): number => Object.values(sum).reduce((a, z) => a + z, 0);
  // bars grow from the bottom up
  const rows = [...sums]
    .sort(([, a], [, z]) => all(z) - all(a))
    .slice(0, mostBars)
    .reverse();
  const names = rows.map(([name]) => shorten(name));
  return figure(
    timed(run, "Time by module"),
    { title: { text: timed(run, "ms") }, rangemode: "tozero" },
    { type: "category", automargin: true },
    phases.map((phase) => ({
      type: "bar",
      orientation: "h",
      name: phase,
      x: rows.map(([, sum]) => sum[phase]),
      y: names,
      marker: { color: phaseColors[phase] },
      hovertemplate: `%{y}, ${phase}: %{x:.4g} ms<extra></extra>`,
    })),
    { barmode: "stack", height: 140 + 22 * rows.length },
  );
}

/** What the chart of time by module shows, in words. */
export function timeByModuleCaption(run: Run): string {
  const { root } = moduleTree(run, "unplanned");
  const modules = branches(root).filter(({ path, own }) => path && own.ms > 0);
  const most = [...modules].sort((a, z) => z.own.ms - a.own.ms).slice(0, 3);
  return `Most time of their own: ${most.map(({ path, own }) => `${shorten(path)} ${formatMs(own.ms)} (${formatPercent(own.timeShare)})`).join(", ")}. The whole tree is under Model, all modules are in modules.csv.`;
}
