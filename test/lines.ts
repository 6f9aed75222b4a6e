import { printGraph } from "../src/build/text.js";
import type { Graph, Phase } from "../src/graph/graph.js";

/** The nodes of a graph as lines of text, from a phase on if one is named. */
export function linesOf(graph: Graph, from?: Phase): string[] {
  const lines = printGraph(graph).trimEnd().split("\n");
  const start = from ? lines.indexOf(`${from}:`) : lines.findIndex((line) => line.endsWith("{"));
  return lines.slice(start + 1, -1);
}
