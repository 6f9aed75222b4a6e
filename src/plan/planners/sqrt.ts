import { formatBytes, formatMs } from "../../format.js";
import type { ActivationRow } from "../../memory/activation-rows.js";
import type { Planner } from "../plan.js";
import { segmentBounds, segmentCounts } from "../segments.js";
import { type Draft, Drafts, type Taken } from "./drafts.js";

/**
 * Sublinear memory (Chen et al. 2016): activations that bound segments, about equally far apart in bytes, are kept; the
 * others are made again, those of a segment once, when the backward phase reaches it. The paper takes about as many
 * segments as the square root of the number of activations; here it is the number whose plan is the fastest that fits.
 */
export const sqrt: Planner = (problem) => {
  const drafts = new Drafts(problem);
  const able = [...drafts.rows.keys()].filter((index) => drafts.allowed[index]?.recompute);
  const bytes = able.map((index) => (drafts.rows[index] as ActivationRow).memoryBytes);
  const total = bytes.reduce((sum, one) => sum + one, 0);
  const withSegments = (count: number): Draft => {
    const bounds = segmentBounds(bytes, count);
    const taken = able.flatMap((index, place): Taken[] => {
      if (bounds.has(place)) return [];
      const { memoryBytes, recomputeMs, recomputeRatio } = drafts.rows[index] as ActivationRow;
      const why = (): string =>
        `inside one of ${count} segments of about ${formatBytes(total / count)}: ${formatBytes(memoryBytes)} are made again from the segment's start, ${formatMs(recomputeMs)} from what is next to it`;
      return [{ index, action: "hold", ratio: recomputeRatio, why }];
    });
    return drafts.draft(taken);
  };
  const all = [drafts.empty, ...segmentCounts(able.length, drafts.steps).map(withSegments)];
  const within = (goalBytes: number): Draft | undefined => {
    const met = all.filter((draft) => draft.peakBytes <= goalBytes && drafts.isAdmissible(problem, draft));
    return met.sort((a, z) => a.totalMs - z.totalMs)[0];
  };
  return drafts.plan(problem, within, all);
};
