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
  const begin: LaneLife[][] = [];
  const end: LaneLife[][] = [];
  const put = (list: LaneLife[][], rank: number, one: LaneLife): void => {
    const there = list[rank];
    if (there) there.push(one);
    else list[rank] = [one];
  };
  for (const one of lives) {
    const { wide, within } = one;
    // what several lanes use is there for all of them; of a flat buffer's places only one part at a time
    const isShared = wide !== undefined && wide.lane < 0 && !within;
    put(begin, isShared ? wide.from : one.start, one);
    put(end, (isShared ? wide.until : one.end) + 1, one);
  }
  const live = new LiveBytes();
  let peak = 0;
  for (const { first, last, lanes } of stages) {
    for (let rank = first; rank <= Math.min(last, count - 1); rank++) {
      for (const one of end[rank] ?? []) live.add(one, -one.bytes);
      for (const one of begin[rank] ?? []) live.add(one, one.bytes);
      if (rank === first || lanes.size === 1) live.meet();
      else live.note();
      peak = Math.max(peak, live.most);
    }
  }
  return peak;
}

/** Bytes that are live now, and the most that may have been at once since the lanes met last. */
class LiveBytes {
  most = 0;
  private total = 0;
  /** Live bytes of each lane; what several lanes use is one lane more. */
  private readonly lanes = new Map<number, { bytes: number; most: number }>();
  private readonly changed = new Set<{ bytes: number; most: number }>();
  private readonly apart = new Set<{ bytes: number; most: number }>();

  add({ wide }: LaneLife, bytes: number): void {
    const lane = Math.max(-1, wide?.lane ?? -1);
    let own = this.lanes.get(lane);
    if (!own) {
      own = { bytes: 0, most: 0 };
      this.lanes.set(lane, own);
    }
    own.bytes += bytes;
    this.total += bytes;
    this.changed.add(own);
  }

  /** All lanes are at this rank. */
  meet(): void {
    for (const own of [...this.changed, ...this.apart]) own.most = own.bytes;
    this.changed.clear();
    this.apart.clear();
    this.most = this.total;
  }

  /** The lanes that changed may be at this rank or at any other since they met. */
  note(): void {
    for (const own of this.changed) {
      if (own.bytes > own.most) {
        this.most += own.bytes - own.most;
        own.most = own.bytes;
      }
      this.apart.add(own);
    }
    this.changed.clear();
  }
}
