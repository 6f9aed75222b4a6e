/** Where storages lie and when they live, by their numbers. */
export interface Lives {
  readonly start: Int32Array;
  readonly end: Int32Array;
  /** When they live for nodes of other lanes: no less. */
  readonly from: Int32Array;
  readonly until: Int32Array;
  readonly lane: Int32Array | undefined;
  /** Where some do not live from one rank to another in between: first ranks, last ones, and both for other lanes. */
  readonly away: Aways | undefined;
  readonly offset: Float64Array;
  readonly top: Float64Array;
}

/** Whether two storages that are in use in the same stages are so one after the other: nodes of a lane run in turn. */
export const takesTurns = (
  { lane, start, end }: Pick<Lives, "lane" | "start" | "end">,
  one: number,
  other: number,
): boolean =>
  lane !== undefined &&
  lane[one] === lane[other] &&
  ((start[other] as number) > (end[one] as number) || (end[other] as number) < (start[one] as number));

/** Ranks between which storages are not there, both included; of one that is always there the last is before the first. */
export interface Aways {
  readonly from: Int32Array;
  readonly until: Int32Array;
  readonly wideFrom: Int32Array;
  readonly wideUntil: Int32Array;
}

/** Whether one of two storages lives only while the other is away. */
export function isApart(lives: Omit<Lives, "offset" | "top">, one: number, other: number): boolean {
  const { away, lane } = lives;
  if (!away) return false;
  if (lane === undefined || lane[one] === lane[other]) {
    const { from, until } = away;
    const { start, end } = lives;
    return (
      ((from[other] as number) <= (start[one] as number) && (end[one] as number) <= (until[other] as number)) ||
      ((from[one] as number) <= (start[other] as number) && (end[other] as number) <= (until[one] as number))
    );
  }
  const { wideFrom, wideUntil } = away;
  const { from, until } = lives;
  return (
    ((wideFrom[other] as number) <= (from[one] as number) && (until[one] as number) <= (wideUntil[other] as number)) ||
    ((wideFrom[one] as number) <= (from[other] as number) && (until[other] as number) <= (wideUntil[one] as number))
  );
}

/** Neighbours from the bottom up, and what all of them have in common. */
class Chunk {
  readonly ones: Int32Array;
  length: number;
  /** Whether what they have in common is known. */
  private isSummed = false;
  private firstFrom = 0;
  private lastStart = 0;
  private firstEnd = 0;
  private lastUntil = 0;
  /** Where the highest one ends. */
  top = 0;
  /** The largest gap between them, if all live at once. */
  private gap = 0;

  constructor(
    private readonly lives: Lives,
    most: number,
    ones: Int32Array,
  ) {
    this.ones = new Int32Array(most);
    this.ones.set(ones);
    this.length = ones.length;
  }

  /** Where the lowest one begins. */
  get lowest(): number {
    return this.lives.offset[this.ones[0] as number] as number;
  }

  /** Whether none of them lives between these ranks. */
  isBeside(from: number, to: number): boolean {
    if (!this.isSummed) this.sum();
    return this.firstFrom > to || this.lastUntil < from;
  }

  /** Whether all of them live between these ranks at some time, and so close above an offset that nothing of a size fits between. */
  isWall(from: number, to: number, cursor: number, size: number): boolean {
    if (!this.isSummed) this.sum();
    return this.lastStart <= to && this.firstEnd >= from && this.gap < size && this.lowest - cursor < size;
  }

  /** Index of the first that lies above an offset. */
  firstAbove(at: number): number {
    const { ones } = this;
    const { offset } = this.lives;
    let [low, high] = [0, this.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((offset[ones[middle] as number] as number) <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Puts one in, after what lies as low. */
  insert(one: number): void {
    const low = this.firstAbove(this.lives.offset[one] as number);
    this.ones.copyWithin(low + 1, low, this.length);
    this.ones[low] = one;
    this.length++;
    this.isSummed = false;
  }

  /** Takes the upper half out. */
  halved(): Chunk {
    const half = this.length >> 1;
    const upper = new Chunk(this.lives, this.ones.length, this.ones.slice(half, this.length));
    this.length = half;
    this.isSummed = false;
    return upper;
  }

  private sum(): void {
    this.isSummed = true;
    const { start, end, from, until, offset, top, away } = this.lives;
    this.firstFrom = this.firstEnd = Number.POSITIVE_INFINITY;
    this.lastStart = this.lastUntil = Number.NEGATIVE_INFINITY;
    this.gap = 0;
    let cursor = this.lowest;
    for (let i = 0; i < this.length; i++) {
      const one = this.ones[i] as number;
      this.firstFrom = Math.min(this.firstFrom, from[one] as number);
      this.lastUntil = Math.max(this.lastUntil, until[one] as number);
      this.lastStart = Math.max(this.lastStart, start[one] as number);
      this.firstEnd = Math.min(this.firstEnd, end[one] as number);
      // what may be away is no wall
      if (away && (away.from[one] as number) <= (away.until[one] as number)) this.firstEnd = -1;
      if ((offset[one] as number) - cursor > this.gap) this.gap = (offset[one] as number) - cursor;
      if ((top[one] as number) > cursor) cursor = top[one] as number;
    }
    this.top = cursor;
  }
}

/** Storages that have their place, from the bottom up: chunks of them are passed over as a whole where they can be. */
export class Placed {
  /** How many there are. */
  length = 0;
  /** How many lay below what `lowest` found last, or up to the gap in which it is. */
  passed = 0;
  private chunks: Chunk[] = [];

  /** `inChunk`: storages in a chunk at most, which is halved then. */
  constructor(
    private readonly lives: Lives,
    private readonly inChunk: number,
  ) {}

  clear(): void {
    this.chunks = [];
    this.length = 0;
  }

  /** Puts one in, after what lies as low. */
  insert(one: number): void {
    this.length++;
    const at = this.lives.offset[one] as number;
    let [low, high] = [0, this.chunks.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.chunks[middle] as Chunk).lowest <= at) low = middle + 1;
      else high = middle;
    }
    const index = Math.max(0, low - 1);
    const chunk = this.chunks[index];
    if (!chunk) {
      this.chunks.push(new Chunk(this.lives, this.inChunk, Int32Array.of(one)));
      return;
    }
    chunk.insert(one);
    if (chunk.length === this.inChunk) this.chunks.splice(index + 1, 0, chunk.halved());
  }

  /** The lowest offset from `base` on at which so many bytes are free while one of them lives. */
  lowest(one: number, size: number, base: number): number {
    const { lives } = this;
    const { offset, top, lane, away, from: begins, until: ends } = lives;
    const [first, last] = [lives.start[one] as number, lives.end[one] as number];
    const [from, until] = [lives.from[one] as number, lives.until[one] as number];
    let cursor = base;
    this.passed = 0;
    const areMany = this.chunks.length > 1;
    for (const chunk of this.chunks) {
      const { ones, length } = chunk;
      if (areMany && chunk.isWall(first, last, cursor, size)) cursor = Math.max(cursor, chunk.top);
      else if (!areMany || !chunk.isBeside(from, until))
        for (let i = 0; i < length; i++) {
          const other = ones[i] as number;
          if ((begins[other] as number) > until || (ends[other] as number) < from) continue;
          if (lane && takesTurns(lives, one, other)) continue;
          if (away && isApart(lives, one, other)) continue;
          if ((offset[other] as number) - cursor >= size) {
            this.passed += i;
            return cursor;
          }
          if ((top[other] as number) > cursor) cursor = top[other] as number;
        }
      this.passed += length;
    }
    return cursor;
  }

  /** All of them, from the bottom up. */
  forEach(work: (one: number) => void): void {
    for (const { ones, length } of this.chunks) for (let i = 0; i < length; i++) work(ones[i] as number);
  }
}
