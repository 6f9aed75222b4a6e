import type { Node } from "../graph/graph.js";
import { callOf, inputOf } from "../ops/call.js";
import type { Normalize } from "../ops/op.js";
import type { Builder } from "./build.js";

/** The nodes that a rule writes in place of one, not yet part of a graph, and the names of its results. */
export interface Expansion {
  readonly nodes: readonly Node[];
  readonly results: readonly string[];
}

/**
 * Applies an op's `body` or `normalize` to a node. New tensors are declared in `b`, the nodes are left to the caller.
 * undefined if the rule leaves the node alone. `opset` is that of the file that the node comes from, if it does.
 */
export function expand(b: Builder, node: Node, rule: Normalize, opset?: number): Expansion | undefined {
  const category = node.phase === "forward" ? "activation" : "temporary";
  const { result, nodes } = b.apart({ phase: node.phase, category, scope: node.name }, () =>
    rule(Object.assign(callOf(node, b.tensors, opset), { b, x: (index: number) => inputOf(node, index) })),
  );
  return result && { nodes, results: result };
}
