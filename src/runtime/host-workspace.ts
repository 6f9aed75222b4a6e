import type { Graph, Node } from "../graph/graph.js";
import { invokeNode, type Prepared } from "./interpreter.js";
import { requestOf } from "./kernel-key.js";
import type { Kernels } from "./ort.js";

/**
 * Runs one more step and returns the bytes that each node's kernel takes at most; null if the allocator does not say.
 *
 * The first node of each kind runs in a session of its own, whose allocator then says what its kernel took: a session's
 * own maximum could not be reset between nodes.
 */
export async function hostWorkspace(
  graph: Graph,
  nodes: readonly Prepared[],
  kernels: Kernels,
  openFresh: () => Kernels,
): Promise<Float64Array | null> {
  const bytes = new Float64Array(graph.nodes.length);
  const known = new Map<string, number>();
  /** Nodes of kinds that are known, which run together. */
  let waiting: Prepared[] = [];
  const runWaiting = (): void => {
    const run = waiting;
    waiting = [];
    if (run.length)
      kernels.within((invoke) => {
        for (const prepared of run) invokeNode(invoke, prepared);
      });
  };
  for (const prepared of nodes) {
    if (prepared.own) {
      waiting.push(prepared);
      continue;
    }
    const node = graph.nodes[prepared.index] as Node;
    const kind = kindOf(prepared, node, graph);
    const found = known.get(kind);
    if (found !== undefined) {
      waiting.push(prepared);
      bytes[prepared.index] = found;
      continue;
    }
    runWaiting();
    const taken = takenBy(prepared, node, graph, openFresh);
    if (taken === null) return null;
    bytes[prepared.index] = taken;
    known.set(kind, taken);
    if (known.size % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  runWaiting();
  return bytes;
}

/** What the bytes depend on that a node's kernel takes: the operator, and the tensors' shapes and element types. */
function kindOf({ op }: Prepared, { inputs, outputs }: Node, { tensors }: Graph): string {
  let kind = String(op);
  for (const names of [inputs, outputs])
    for (const name of names) {
      const tensor = tensors.get(name);
      kind += tensor ? ` ${tensor.dtype}${tensor.shape}` : " ";
    }
  return kind;
}

/** Bytes that one node's kernel takes in a fresh session, in which it runs. */
function takenBy(prepared: Prepared, node: Node, graph: Graph, openFresh: () => Kernels): number | null {
  const fresh = openFresh();
  try {
    const op = fresh.createOp(requestOf(node, graph));
    const before = fresh.allocations();
    fresh.within((invoke) => invokeNode(invoke, { ...prepared, op }));
    const after = fresh.allocations();
    fresh.releaseOp(op);
    return before && after ? Math.max(0, after.maxInUse - before.inUse) : null;
  } finally {
    fresh.close();
  }
}
