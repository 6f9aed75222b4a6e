import type { Graph } from "./graph.js";

/**
 * The function, which then computes its answer once for each graph and keeps it as long as the graph. Graphs are never
 * changed after they are made, so an answer stays right; callers must not change it either.
 */
export function perGraph<T extends object>(compute: (graph: Graph) => T): (graph: Graph) => T {
  const known = new WeakMap<Graph, T>();
  return (graph) => {
    const before = known.get(graph);
    if (before) return before;
    const answer = compute(graph);
    known.set(graph, answer);
    return answer;
  };
}
