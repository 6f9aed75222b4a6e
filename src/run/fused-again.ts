import { slowerFused } from "../step/slower-fused.js";
import type { Alone, Scene } from "./alone.js";
import { fused, type JointStep } from "./arrange.js";
import type { BuiltTrial } from "./build-trials.js";
import type { Candidate } from "./candidate.js";

/**
 * The models of a fused step that was measured, fused again with those products side by side that were found to be slower
 * fused than one after another; null if none is, or if nothing was measured. `alone` has each model's own step.
 */
export function fusedAgain(
  { joint, before }: Pick<Candidate, "joint" | "before">,
  { runtime, trials, limitBytes }: Scene,
  alone: readonly Pick<Alone, "graph" | "profile">[],
): JointStep | null {
  if (joint.arrangement !== "fused" || before.estimated || before.offloaded || !runtime.fuses) return null;
  const fusedMs = { nodes: joint.graph.nodes, nodeMs: before.nodes.map(({ time }) => time.medianMs) };
  const slower = joint.subArrays.flatMap((names, i) => {
    const rank = trials.findIndex(({ spec }) => spec.name === names[0]);
    const { graph, profile } = alone[rank] as Pick<Alone, "graph" | "profile">;
    const own = { nodes: graph.nodes, nodeMs: profile.nodes.map(({ time }) => time.medianMs) };
    const { bound } = trials[rank] as BuiltTrial;
    const models = names.length;
    return models > 1 ? [...slowerFused(bound.graph, own, fusedMs, { models, prefix: `f${i}/` })] : [];
  });
  if (!slower.length) return null;
  const most = Math.max(...joint.subArrays.map(({ length }) => length));
  return fused(runtime, trials, limitBytes, { most, apart: new Set(slower) });
}
