import { bytesPerElement, type Graph, type Node, tensorOf } from "../graph/graph.js";
import { callOf } from "../ops/call.js";
import { opOf } from "../ops/index.js";

/** The tensor whose storage a view's output shares; undefined for a node that is no view. */
export const shownBy = (node: Node): string | undefined => (opOf(node).view ? node.inputs[0] : undefined);

/** How far into what it shows a view begins, bytes. */
export function viewStartBytes(node: Node, graph: Pick<Graph, "tensors" | "name">): number {
  const { viewStart } = opOf(node);
  if (!viewStart) return 0;
  return viewStart(callOf(node, graph.tensors)) * bytesPerElement(tensorOf(graph, node.inputs[0] as string).dtype);
}

/** Says for each tensor whose storage it shares: what a view shows, seen through other views; else the tensor itself. */
export function originOf({ nodes }: Pick<Graph, "nodes">): (name: string) => string {
  const origins = new Map<string, string>();
  const origin = (name: string): string => origins.get(name) ?? name;
  for (const node of nodes) {
    const shown = shownBy(node);
    if (shown) origins.set(node.outputs[0] as string, origin(shown));
  }
  return origin;
}

/** For each tensor that views show, those views in schedule order. */
export function viewsOf(graph: Graph): Map<string, string[]> {
  const origin = originOf(graph);
  const views = new Map<string, string[]>();
  for (const node of graph.nodes) {
    if (!shownBy(node)) continue;
    const view = node.outputs[0] as string;
    const list = views.get(origin(view));
    if (list) list.push(view);
    else views.set(origin(view), [view]);
  }
  return views;
}
