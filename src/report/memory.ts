import { formatBytes, formatPercent } from "../format.js";
import { categories, type Graph } from "../graph/graph.js";
import { timeline } from "../memory/liveness.js";
import { livesOf } from "../run/lives.js";
import type { NodeRow } from "../run/node-rows.js";
import { plannedGraph } from "../run/planned-rows.js";
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
  const holders = before.peakHolders.filter(({ bytes }) => bytes > 0);
  const sums = categories
    .map((category) => ({
      category,
      bytes: holders.filter((one) => one.category === category).reduce((sum, one) => sum + one.bytes, 0),
    }))
    .filter(({ bytes }) => bytes > 0)
    .sort((a, z) => z.bytes - a.bytes);
  return {
    peakNode: node && { name: node.name, short: shorten(node.name), op: node.op, phase: node.phase },
    peakRank,
    nodeCount: before.nodes.length,
    peak: formatBytes(peakBytes),
    resident: formatBytes(residentBytes),
    residentShare: formatPercent(residentBytes / peakBytes),
    plannedPeak: plan && formatBytes(plan.timelinePeakBytes),
    categories: sums.map(({ category, bytes }) => ({
      category,
      color: categoryColors[category],
      size: formatBytes(bytes),
      share: formatPercent(bytes / peakBytes),
    })),
    tiles: tilesOf(holders),
    holders: holders.slice(0, 10).map(({ name, category, bytes, producer }) => ({
      name: shorten(name),
      category,
      size: formatBytes(bytes),
      share: formatPercent(bytes / peakBytes),
      producer,
      producerShort: producer && shorten(producer),
    })),
    moreHolders: Math.max(0, holders.length - 10),
  };
}
