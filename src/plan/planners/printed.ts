import { type Graph, type Node, tensorBytes, tensorOf } from "../../graph/graph.js";
import type { ActivationRow } from "../../memory/activation-rows.js";
import { timeline } from "../../memory/liveness.js";
import { storages } from "../../memory/storages.js";
import { opOf } from "../../ops/index.js";
import type { Decision, PlanProblem } from "../plan.js";

/**
 * μ-TWO's Algorithm G as printed, for one model: what the node itself needs, plus the intermediates that wait between
 * their last forward and first backward use. Temporaries of a recomputation and gradients that wait are invisible to
 * it, so it is shown beside the exact timeline; it decides only in the printed variant of planner `mutwo`.
 */
export class PrintedMemory {
  private readonly activeBytes: Float64Array;
  /** By node: bytes that begin to wait after it, and before it. */
  private readonly after: Float64Array;
  private readonly before: Float64Array;

  constructor({ graph, rows }: Pick<PlanProblem, "graph" | "rows">) {
    const { residentBytes } = timeline(graph);
    const { of } = storages(graph);
    const isResident = (name: string): boolean => of.get(name)?.storage.resident ?? true;
    this.activeBytes = Float64Array.from(graph.nodes, (node) => residentBytes + activeBytes(graph, node, isResident));
    this.after = new Float64Array(graph.nodes.length);
    this.before = new Float64Array(graph.nodes.length);
    for (const { lastForwardAccess, firstBackwardAccess, memoryBytes } of rows) {
      this.after[lastForwardAccess]! += memoryBytes;
      this.before[firstBackwardAccess]! -= memoryBytes;
    }
  }

  /**
   * An activation is deleted after its last forward use, and counted again from where it is made again or comes back: at
   * the first backward use that nets to 0.
   */
  evict({ lastForwardAccess, firstBackwardAccess, memoryBytes }: ActivationRow, prompt = firstBackwardAccess): void {
    this.after[lastForwardAccess]! -= memoryBytes;
    this.before[prompt]! += memoryBytes;
  }

  /** The way back of an activation that was evicted begins elsewhere. */
  move({ memoryBytes }: ActivationRow, from: number, to: number): void {
    this.before[from]! -= memoryBytes;
    this.before[to]! += memoryBytes;
  }

  peakBytes(): number {
    let waiting = 0;
    let peak = 0;
    for (let rank = 0; rank < this.activeBytes.length; rank++) {
      waiting += this.before[rank] as number;
      peak = Math.max(peak, (this.activeBytes[rank] as number) + waiting);
      waiting += this.after[rank] as number;
    }
    return peak;
  }
}

/** What Algorithm G as printed says of a plan's decisions. */
export function printedPeakBytes(
  problem: Pick<PlanProblem, "graph" | "rows">,
  decisions: readonly Pick<Decision, "activation" | "action" | "swap">[],
): number {
  const memory = new PrintedMemory(problem);
  const decided = new Map(decisions.map((decision) => [decision.activation, decision]));
  const rank = new Map(problem.graph.nodes.map((node, index) => [node.name, index]));
  for (const row of problem.rows) {
    const decision = decided.get(row.name);
    if (decision) memory.evict(row, rank.get(decision.swap?.prefetch ?? ""));
  }
  return memory.peakBytes();
}

/** Bytes of a node's inputs and outputs, residents excepted. */
function activeBytes(graph: Graph, node: Node, isResident: (name: string) => boolean): number {
  if (opOf(node).view) return 0;
  const names = new Set([...node.inputs, ...node.outputs].filter((name) => name && !isResident(name)));
  return [...names].reduce((sum, name) => sum + tensorBytes(tensorOf(graph, name)), 0);
}
