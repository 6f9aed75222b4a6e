import type { Pointer } from "../ort-api.js";
import type { Cuda } from "./cuda.js";

/** Every piece starts on such a boundary, as cudaMalloc's do at least. */
const alignment = 256;

const aligned = (bytes: number): number => Math.ceil(Math.max(bytes, 1) / alignment) * alignment;

/** A piece of memory. */
export interface Idle {
  readonly at: Pointer;
  readonly bytes: number;
}

const nothing: Idle = { at: 0n, bytes: 0 };

const sum = (values: Iterable<number>): number => [...values].reduce((total, bytes) => total + bytes, 0);

/**
 * Device memory that kernels take for themselves while they run: one region, in which pieces are stacked and given back.
 * All kernels run in one stream, so a piece may be taken again as soon as the call that took it is over. What is taken
 * between calls (by a kernel that is being created) stays, in memory of its own.
 */
export class Workspace {
  private region: Pointer = 0n;
  private capacity = 0;
  private top = 0;
  /** Pieces of the region, in order, with where they begin; freed ones wait for those above them. */
  private readonly stack: { at: Pointer; start: number; freed: boolean }[] = [];
  /** Pieces of their own: beyond the region's end (kept for further calls), and those taken between calls. */
  private readonly beyond = new Map<Pointer, { bytes: number; taken: boolean }>();
  private readonly lasting = new Map<Pointer, number>();
  private inUse = 0;
  private most = 0;
  private moves = 0;
  /** Calls that are running, one in another. */
  private calls = 0;
  private callTaken = 0;
  private callMost = 0;
  /** What lies idle in the arena during the call, and how far it is taken. */
  private idle = nothing;
  private idleTop = 0;
  private idleTaken = 0;
  /** Whether the call may keep what it takes, but for what it takes briefly. */
  private mayKeep = false;

  /** An empty workspace on a device. */
  constructor(private readonly cuda: Pick<Cuda, "malloc" | "free">) {}

  take(wanted: number): Pointer {
    const bytes = aligned(wanted);
    if (!this.calls) {
      const at = this.cuda.malloc(bytes);
      this.lasting.set(at, bytes);
      return at;
    }
    return (this.mayKeep ? undefined : this.fromIdle(bytes)) ?? this.fromRegion(bytes) ?? this.fromBeyond(bytes);
  }

  /** Memory that is given back before the call is over. */
  takeBriefly(wanted: number): Pointer {
    return (this.calls ? this.fromIdle(aligned(wanted)) : undefined) ?? this.take(wanted);
  }

  giveBack(at: Pointer): void {
    if (at >= this.idle.at && at < this.idle.at + BigInt(this.idle.bytes)) {
      if (this.idleTaken > 0 && --this.idleTaken === 0) this.idleTop = 0;
      return;
    }
    const piece = this.beyond.get(at);
    if (piece) {
      piece.taken = false;
      this.shrink(piece.bytes);
      return;
    }
    if (this.lasting.delete(at)) {
      this.cuda.free(at);
      return;
    }
    const found = this.stack.findLast((one) => one.at === at && !one.freed);
    if (!found) return;
    found.freed = true;
    while (this.stack.at(-1)?.freed) {
      const { start } = this.stack.pop() as { start: number };
      this.shrink(this.top - start);
      this.top = start;
    }
  }

  /** Runs work with pieces of these sizes, and gives them back. */
  withPieces(sizes: readonly number[], work: (pieces: readonly Pointer[]) => void): void {
    const pieces: Pointer[] = [];
    try {
      for (const size of sizes) pieces.push(this.takeBriefly(size));
      work(pieces);
    } finally {
      for (const at of pieces.reverse()) this.giveBack(at);
    }
  }

  /**
   * Runs a kernel call and returns the most bytes that it had taken at one time. `idle` is memory of the arena in which
   * nothing lives during the call: it is used first, in a call that may keep what it takes only for what is taken briefly.
   */
  during(call: () => void, idle?: Idle, mayKeep = false): number {
    this.callMost = 0;
    this.callTaken = 0;
    this.calls++;
    this.mayKeep = mayKeep;
    this.idle = idle ?? nothing;
    this.idleTop = 0;
    this.idleTaken = 0;
    try {
      call();
    } finally {
      this.calls--;
    }
    return this.callMost;
  }

  /** Bytes that the call may take briefly without any memory being added. */
  get availableBytes(): number {
    const idle = this.idle.bytes - this.idleTop;
    return Math.max(idle - (idle % alignment), this.capacity - this.top);
  }

  /** Bytes held on the device: the region, what did not fit into it, and what is held between calls. */
  get heldBytes(): number {
    return this.capacity + sum([...this.beyond.values()].map((piece) => piece.bytes)) + sum(this.lasting.values());
  }

  /** Changes when the region moves: addresses in captured graphs are then no longer valid. */
  get version(): number {
    return this.moves;
  }

  /** Makes the region as large as was needed and frees the rest; nothing may be running. */
  settle(): void {
    if (this.stack.length || [...this.beyond.values()].some((piece) => piece.taken)) return;
    if (this.most !== this.capacity || this.beyond.size) {
      for (const at of this.beyond.keys()) this.cuda.free(at);
      this.beyond.clear();
      this.freeRegion();
      if (this.most) this.region = this.cuda.malloc(this.most);
      this.capacity = this.most;
      this.moves++;
    }
    this.most = 0;
  }

  /** Frees everything. */
  close(): void {
    for (const at of [...this.beyond.keys(), ...this.lasting.keys()]) this.cuda.free(at);
    this.beyond.clear();
    this.lasting.clear();
    this.freeRegion();
  }

  /** A piece of what lies idle in the arena; undefined if it does not fit. */
  private fromIdle(bytes: number): Pointer | undefined {
    if (this.idleTop + bytes > this.idle.bytes) return undefined;
    const at = this.idle.at + BigInt(this.idleTop);
    this.idleTop += bytes;
    this.idleTaken++;
    this.growCall(bytes);
    return at;
  }

  /** A piece on top of the region's stack; undefined if it does not fit. */
  private fromRegion(bytes: number): Pointer | undefined {
    if (this.top + bytes > this.capacity) return undefined;
    const at = this.region + BigInt(this.top);
    this.stack.push({ at, start: this.top, freed: false });
    this.top += bytes;
    this.grow(bytes);
    return at;
  }

  /** A piece of its own: one that is free, or new memory. */
  private fromBeyond(bytes: number): Pointer {
    const free = [...this.beyond].find(([, piece]) => !piece.taken && piece.bytes >= bytes);
    const at = free ? free[0] : this.cuda.malloc(bytes);
    const size = free ? free[1].bytes : bytes;
    this.beyond.set(at, { bytes: size, taken: true });
    this.grow(size);
    return at;
  }

  private grow(bytes: number): void {
    this.inUse += bytes;
    this.most = Math.max(this.most, this.inUse);
    this.growCall(bytes);
  }

  private growCall(bytes: number): void {
    this.callTaken += bytes;
    this.callMost = Math.max(this.callMost, this.callTaken);
  }

  private shrink(bytes: number): void {
    this.inUse -= bytes;
    this.callTaken -= bytes;
  }

  private freeRegion(): void {
    if (this.region) this.cuda.free(this.region);
    this.region = 0n;
    this.capacity = 0;
  }
}
