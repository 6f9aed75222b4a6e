import { isForward } from "../graph/graph.js";
import type { ActivationRow } from "../memory/activation-rows.js";
import type { Interval } from "../memory/peak-interval.js";
import type { Plan } from "../plan/plan.js";
import type { NodeRow } from "./node-rows.js";
import type { Wiring } from "./wiring.js";

/** A node row with what a plan has done at the node (the rest of μ-TWO's table A); names of activations. */
export interface PlannedNodeRow extends NodeRow, Wiring {
  readonly gtype: "forward" | "backward";
  /** Copied to the host after this node. */
  readonly toOffload: readonly string[];
  /** Freed after this node, to be made again. */
  readonly toDelete: readonly string[];
  /** Their copies back begin before this node. */
  readonly toPrefetch: readonly string[];
  /** Made again before this node. */
  readonly toRecompute: readonly string[];
  /** Whether more lives here than the budget; null without one. */
  readonly inPeakInterval: boolean | null;
}

/** An activation row with what a plan has done with it (the rest of μ-TWO's table B); ranks of the unplanned step. */
export interface PlannedActivationRow extends ActivationRow {
  /** Node before which its copy back begins; null for what is not swapped. */
  readonly prefetchPrompt: string | null;
  /** Between which nodes of each phase it is on the device. */
  readonly activeForward: Interval;
  readonly activeBackward: Interval;
  /** One copy each way, ms. */
  readonly swapOutMs: number;
  readonly swapInMs: number;
  /** Whether it is live at a node where more lives than the budget; null without one. */
  readonly inPeakInterval: boolean | null;
}

/** What a plan does at a node; names of activations. */
export type Hints = Record<"toOffload" | "toDelete" | "toPrefetch" | "toRecompute", string[]>;

/** Of a node at which a plan does nothing. */
export const noHints: Hints = { toOffload: [], toDelete: [], toPrefetch: [], toRecompute: [] };

/** The row of a node with what a plan has done there; fields by name, for spread objects take ten times the time and memory. */
export function hintedRow(row: NodeRow, wired: Wiring | undefined, hints: Hints, plan: Plan | null): PlannedNodeRow {
  const { inputs, outputs, attributes, tensors, renews, stepOutputs } = wired as Wiring;
  const { toOffload, toDelete, toPrefetch, toRecompute } = hints;
  return {
    rank: row.rank,
    name: row.name,
    op: row.op,
    phase: row.phase,
    time: row.time,
    flops: row.flops,
    inputBytes: row.inputBytes,
    outputBytes: row.outputBytes,
    liveBytes: row.liveBytes,
    activeBytes: row.activeBytes,
    workspaceBytes: row.workspaceBytes,
    lastForwardUses: row.lastForwardUses,
    firstBackwardUses: row.firstBackwardUses,
    inputs,
    outputs,
    attributes,
    tensors,
    renews,
    stepOutputs,
    toOffload,
    toDelete,
    toPrefetch,
    toRecompute,
    inPeakInterval: isOver(row.liveBytes, plan),
    gtype: gtype(row),
  };
}

/** What copying an activation takes, and whether it is live where more lives than the budget. */
export type Copied = Pick<PlannedActivationRow, "swapOutMs" | "swapInMs" | "inPeakInterval">;

type Residence = Pick<PlannedActivationRow, "prefetchPrompt" | "activeForward" | "activeBackward">;

/** The row of an activation with what a plan has done with it; fields by name, as those of nodes are. */
export const placedRow = (row: ActivationRow, copied: Copied, residence: Residence): PlannedActivationRow => ({
  name: row.name,
  producer: row.producer,
  dtype: row.dtype,
  shape: row.shape,
  memoryBytes: row.memoryBytes,
  createdRank: row.createdRank,
  firstForwardAccess: row.firstForwardAccess,
  lastForwardAccess: row.lastForwardAccess,
  firstBackwardAccess: row.firstBackwardAccess,
  lastBackwardAccess: row.lastBackwardAccess,
  inactiveMs: row.inactiveMs,
  swapMs: row.swapMs,
  swapMeasured: row.swapMeasured,
  recomputeSources: row.recomputeSources,
  recomputeNodes: row.recomputeNodes,
  recomputeCount: row.recomputeCount,
  recomputeMs: row.recomputeMs,
  totalRecomputeMs: row.totalRecomputeMs,
  recomputeBytes: row.recomputeBytes,
  recomputeRatio: row.recomputeRatio,
  fixed: row.fixed,
  idleAtPeak: row.idleAtPeak,
  swapOutMs: copied.swapOutMs,
  swapInMs: copied.swapInMs,
  inPeakInterval: copied.inPeakInterval,
  prefetchPrompt: residence.prefetchPrompt,
  activeForward: residence.activeForward,
  activeBackward: residence.activeBackward,
});

const gtype = ({ phase }: NodeRow): PlannedNodeRow["gtype"] => (isForward(phase) ? "forward" : "backward");

const isOver = (bytes: number, plan: Plan | null): boolean | null =>
  typeof plan?.budgetBytes === "number" ? bytes > plan.budgetBytes : null;
