import { formatBytes, formatPercent } from "../format.js";
import { categories, type Graph } from "../graph/graph.js";
import { sourceText } from "../graph/origins.js";
import { timeline } from "../memory/liveness.js";
import { livesOf } from "../run/lives.js";
import { moduleTree } from "../run/module-tree.js";
import { moduleText } from "../run/modules.js";
import type { NodeRow } from "../run/node-rows.js";
import { type PeakPart, peakParts } from "../run/peak-parts.js";
import { plannedGraph, plannedPeak } from "../run/planned-rows.js";
import { loadGraph, type Run } from "../run/run.js";
import { categoryColors, shorten } from "./figure.js";
import { rowsOf } from "./tables.js";
import { tilesOf } from "./treemap.js";

/** One step's memory for the page's own chart: a value a node, and who lives when. */
function stepMemory(title: string, graph: Graph, nodes: readonly NodeRow[]) {
  const { byCategory, totalBytes } = timeline(graph);
  const lives = livesOf(graph);
  const isCopy = new Set(
    graph.nodes.flatMap(({ name, domain, op }) => (domain === "mutwo" && /^Swap/.test(op) ? [name] : [])),
  );
  return {
    title,
    name: nodes.map(({ name }) => name),
    op: nodes.map(({ op }) => op),
    phase: nodes.map(({ phase }) => phase),
    // copies run beside the nodes
    ms: nodes.map(({ name, time }) => (isCopy.has(name) ? 0 : time.medianMs)),
    total: totalBytes,
    byCategory: Object.fromEntries(
      categories.filter((category) => byCategory[category].some((bytes) => bytes > 0)).map((c) => [c, byCategory[c]]),
    ),
    lives: {
      name: lives.map(({ name }) => name),
      category: lives.map(({ category }) => category),
      bytes: lives.map(({ bytes }) => bytes),
      first: lives.map(({ first }) => first),
      last: lives.map(({ last }) => last),
    },
  };
}

/** Memory of the unplanned and, with a plan, of the planned step, as the page's chart draws it. */
export function memoryData(run: Run) {
  const planned = plannedGraph(run);
  return {
    budget: run.plan?.budgetBytes ?? null,
    colors: categoryColors,
    steps: [
      stepMemory("unplanned", loadGraph(run.graph), run.before.nodes),
      ...(planned && run.plan
        ? [stepMemory(`planned by ${run.plan.planner}`, planned, rowsOf(run, "planned").nodes)]
        : []),
    ],
  };
}

/** What the section on memory says and draws of a run. */
export function memoryView(run: Run) {
  const { before, plan } = run;
  const { peakRank, peakBytes, residentBytes } = before.timeline;
  const node = before.nodes[peakRank];
  const named = moduleTree(run, "unplanned").basis !== null;
  const unplanned = holdersView(peakParts(run, "unplanned"), named);
  const planned = plan ? plannedPeak(run) : undefined;
  return {
    peakNode: node && { name: node.name, short: shorten(node.name), op: node.op, phase: node.phase },
    peakRank,
    nodeCount: before.nodes.length,
    peak: formatBytes(peakBytes),
    resident: formatBytes(residentBytes),
    residentShare: formatPercent(residentBytes / peakBytes),
    plannedPeak: plan && formatBytes(plan.timelinePeakBytes),
    named,
    peaks: [
      {
        what: "unplanned",
        link: "node",
        node: node ? { name: node.name, op: node.op, phase: node.phase } : null,
        ...unplanned,
      },
      ...(planned
        ? [
            {
              what: "planned",
              link: "planned-node",
              node: planned.node,
              ...holdersView(peakParts(run, "planned"), named),
            },
          ]
        : []),
    ],
  };
}

/** So many of the largest are in the table. */
const mostHolders = 10;

/** Who holds a peak: by category, as tiles, and the largest with their modules. */
function holdersView(parts: readonly PeakPart[], named: boolean) {
  const holders = parts.filter(({ bytes }) => bytes > 0);
  const bytesOf = new Map(categories.map((category) => [category, 0]));
  let peakBytes = 0;
  for (const { category, bytes } of holders) {
    bytesOf.set(category, (bytesOf.get(category) ?? 0) + bytes);
    peakBytes += bytes;
  }
  const sums = [...bytesOf]
    .map(([category, bytes]) => ({ category, bytes }))
    .filter(({ bytes }) => bytes > 0)
    .sort((a, z) => z.bytes - a.bytes);
  return {
    total: formatBytes(peakBytes),
    categories: sums.map(({ category, bytes }) => ({
      category,
      color: categoryColors[category],
      size: formatBytes(bytes),
      share: formatPercent(bytes / peakBytes),
    })),
    tiles: tilesOf(holders, named),
    holders: holders.slice(0, mostHolders).map(({ name, category, bytes, producer, module, source, within }) => ({
      name: shorten(name),
      category,
      module: shorten(moduleText(module)),
      source: source ? sourceText(source) : "",
      within: within ? shorten(within) : "",
      size: formatBytes(bytes),
      share: formatPercent(bytes / peakBytes),
      producer,
    })),
    moreHolders: Math.max(0, holders.length - mostHolders),
  };
}
