import type { Stage } from "../graph/lanes.js";

/**
 * When a storage is in use as nodes of other lanes see it: from one rank to another, both those of whole stages where
 * several lanes run.
 */
export interface Wide {
  /** The lane whose nodes use it; a number of its own, below 0, if nodes of several lanes do. */
  readonly lane: number;
  readonly from: number;
  readonly until: number;
  /** In between it is not in use from one rank to another: see `Span`. */
  readonly away?: Away | undefined;
}

/** Ranks between which something is not there, both included. */
export interface Away {
  readonly from: number;
  readonly until: number;
}

/** Bytes of what lives at a time, as `worstPeak` wants it. */
export interface LaneLife {
  readonly bytes: number;
  readonly start: number;
  readonly end: number;
  readonly wide?: Wide | undefined;
  /** The part of a flat buffer takes the place of earlier ones. */
  readonly within?: object | undefined;
}

/**
 * The most bytes that may live at once, whatever runs at the same time: in each stage the most of every lane together,
 * and what several lanes use.
 */
export function worstPeak(lives: readonly LaneLife[], stages: readonly Stage[], count: number): number {
  const lanes = new Map<number, Float64Array>();
  const shared = new Float64Array(count + 2);
  const change = (live: Float64Array, start: number, end: number, bytes: number): void => {
    live[start] = (live[start] as number) + bytes;
    live[end + 1] = (live[end + 1] as number) - bytes;
  };
  for (const { bytes, start, end, wide, within } of lives) {
    if (!wide || wide.lane < 0) {
      if (within || !wide) change(shared, start, end, bytes);
      else change(shared, wide.from, wide.until, bytes);
      continue;
    }
    let live = lanes.get(wide.lane);
    if (!live) {
      live = new Float64Array(count + 2);
      lanes.set(wide.lane, live);
    }
    change(live, start, end, bytes);
  }
  const rows = [...lanes.values(), shared];
  for (const live of rows)
    for (let rank = 1; rank < live.length; rank++) live[rank] = (live[rank] as number) + (live[rank - 1] as number);
  let peak = 0;
  for (const { first, last, lanes: running } of stages) {
    if (running.size > 1) {
      const most = rows.reduce(
        (sum, live) => sum + live.subarray(first, last + 1).reduce((a, z) => Math.max(a, z), 0),
        0,
      );
      peak = Math.max(peak, most);
      continue;
    }
    for (let rank = first; rank <= last; rank++)
      peak = Math.max(
        peak,
        rows.reduce((sum, live) => sum + (live[rank] as number), 0),
      );
  }
  return peak;
}
