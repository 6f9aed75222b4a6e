/** What a vector of actions comes to. */
export interface Evaluation {
  /** Greatest number of live bytes, residents included: that of the exact timeline of the rewritten graph. */
  readonly peakBytes: number;
  /** Time of all nodes and of what they wait for copies, ms. */
  readonly totalMs: number;
  /** Sum of what is swapped: no host arena needs more, bytes. */
  readonly hostBytes: number;
  /** For each node of the unplanned step, the most bytes that live while it or a block before it runs. */
  readonly liveBytes: Float64Array;
  /** Number of nodes, copies included. */
  readonly nodeCount: number;
}

/** What counts for a vector that makes too long a step to simulate. */
export function endless(nodes: number): Evaluation {
  const never = Number.POSITIVE_INFINITY;
  const liveBytes = new Float64Array(nodes).fill(never);
  return { peakBytes: never, totalMs: never, hostBytes: 0, liveBytes, nodeCount: never };
}

/** A vector of actions with what it comes to. */
export interface Point {
  readonly actions: Uint8Array;
  /** Peak by the exact timeline, bytes. */
  readonly peakBytes: number;
  /** Time of the step, ms. */
  readonly totalMs: number;
  /** Host memory that its swaps need, bytes. */
  readonly hostBytes: number;
}

/** The best points found: each has a lower peak than all that are faster. */
export class Front {
  /** By peak, lowest first; so by time, slowest first. */
  readonly points: Point[] = [];

  /** Index of the first point with a higher peak. */
  private above(peakBytes: number): number {
    let [low, high] = [0, this.points.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.points[middle] as Point).peakBytes <= peakBytes) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Takes a point in unless another one is as good; drops those that it makes needless. */
  add(actions: Uint8Array, { peakBytes, totalMs, hostBytes }: Evaluation): boolean {
    const at = this.above(peakBytes);
    const better = this.points[at - 1];
    if (better && better.totalMs <= totalMs) return false;
    let from = at;
    if (better && better.peakBytes === peakBytes) from--;
    let to = at;
    while (to < this.points.length && (this.points[to] as Point).totalMs >= totalMs) to++;
    this.points.splice(from, to - from, { actions: actions.slice(), peakBytes, totalMs, hostBytes });
    return true;
  }

  /** The fastest point whose peak is not above the goal; the one with the lowest peak if there is none. */
  within(goalBytes: number): Point {
    return this.points[Math.max(0, this.above(goalBytes) - 1)] as Point;
  }
}
