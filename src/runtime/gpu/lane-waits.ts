import { type Graph, type Node, tensorBytes, tensorOf } from "../../graph/graph.js";
import { placeOf } from "../../graph/lanes.js";
import type { Pointer } from "../ort-api.js";

/** More lanes of a graph than this share those of the GPU: each takes streams, handles of libraries and a session. */
const mostLanes = 16;

/** How many lanes of the GPU a graph takes, and which one each of its nodes runs in. */
export function gpuLanes(graph: Graph): { readonly count: number; readonly of: Int32Array } {
  const given = graph.nodes.map((node) => placeOf(node).lane);
  const numbers = new Map([...new Set(given)].sort((a, z) => a - z).map((lane, i) => [lane, i % mostLanes]));
  const of = Int32Array.from(given, (lane) => numbers.get(lane) as number);
  return { count: Math.max(1, Math.min(mostLanes, numbers.size)), of };
}

/** How a node is launched in a lane of the GPU, its tensors at these addresses. */
export function launchOf(node: Node, lane: number, graph: Graph, address: (name: string) => Pointer): Launch {
  const ranges = (names: readonly string[]): Range[] =>
    names.filter(Boolean).map((name) => {
      const from = address(name);
      return { from, until: from + BigInt(tensorBytes(tensorOf(graph, name))) };
    });
  return { lane, stage: placeOf(node).stage, reads: ranges(node.inputs), writes: ranges(node.outputs) };
}

/** Bytes from one address to another (exclusive). */
export interface Range {
  readonly from: bigint;
  readonly until: bigint;
}

/** A node as it is launched in its lane: what it reads and what it writes. */
export interface Launch {
  readonly lane: number;
  readonly stage: number;
  readonly reads: readonly Range[];
  readonly writes: readonly Range[];
}

/**
 * For each launch the earlier ones of other lanes that it has to wait for, by their places in the list: those that write
 * what it reads or writes, those that read what it writes, and all of the stages before its own. What follows from other
 * waits, and from a lane running in list order, is left out. Nothing is taken from where values should lie, all from where
 * they do.
 */
export function laneWaits(launches: readonly Launch[], lanes: number): readonly (readonly number[])[] {
  const memory = new Touched(launches, lanes);
  /** By lane: the last launch of each lane that the next one of this lane comes after anyhow. */
  const known = Array.from({ length: lanes }, () => new Int32Array(lanes).fill(-1));
  const knownAt: Int32Array[] = [];
  const latest = new Int32Array(lanes).fill(-1);
  let stage = Number.NEGATIVE_INFINITY;
  let ended = latest.slice();
  return launches.map((launch, at) => {
    const { lane } = launch;
    if (launch.stage > stage) {
      stage = launch.stage;
      ended = latest.slice();
    }
    const wanted = ended.slice();
    memory.before(launch, (other) => {
      const { lane: theirs } = launches[other] as Launch;
      wanted[theirs] = Math.max(wanted[theirs] as number, other);
    });
    const own = known[lane] as Int32Array;
    const waits: number[] = [];
    // the latest first: it may have waited for the others
    for (const other of wanted.filter((_, theirs) => theirs !== lane).sort((a, z) => z - a)) {
      if (other < 0 || (own[(launches[other] as Launch).lane] as number) >= other) continue;
      waits.push(other);
      (knownAt[other] as Int32Array).forEach((seen, theirs) => {
        own[theirs] = Math.max(own[theirs] as number, seen);
      });
    }
    own[lane] = at;
    latest[lane] = at;
    knownAt.push(own.slice());
    memory.after(launch, at);
    return waits;
  });
}

/** Who wrote each piece of memory last, and who of each lane has read it since. */
class Touched {
  /** Ends of all ranges, from the bottom up: pieces lie between two of them. */
  private readonly ends: readonly bigint[];
  private readonly writer: Int32Array;
  private readonly readers: Int32Array;

  constructor(
    launches: readonly Launch[],
    private readonly lanes: number,
  ) {
    const all = new Set<bigint>();
    for (const { reads, writes } of launches)
      for (const { from, until } of [...reads, ...writes]) all.add(from).add(until);
    this.ends = [...BigUint64Array.from(all).sort()];
    this.writer = new Int32Array(this.ends.length).fill(-1);
    this.readers = new Int32Array(this.ends.length * lanes).fill(-1);
  }

  /** Calls `found` with the launches that must be over before this one. */
  before({ reads, writes }: Launch, found: (other: number) => void): void {
    const wrote = (piece: number): void => {
      const other = this.writer[piece] as number;
      if (other >= 0) found(other);
    };
    for (const range of reads) this.forEach(range, wrote);
    for (const range of writes)
      this.forEach(range, (piece) => {
        wrote(piece);
        for (const other of this.readersOf(piece)) if (other >= 0) found(other);
      });
  }

  after({ lane, reads, writes }: Launch, at: number): void {
    for (const range of reads)
      this.forEach(range, (piece) => {
        this.readersOf(piece)[lane] = at;
      });
    for (const range of writes)
      this.forEach(range, (piece) => {
        this.writer[piece] = at;
        this.readersOf(piece).fill(-1);
      });
  }

  private readersOf(piece: number): Int32Array {
    return this.readers.subarray(piece * this.lanes, (piece + 1) * this.lanes);
  }

  private forEach({ from, until }: Range, work: (piece: number) => void): void {
    let [low, high] = [0, this.ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.ends[middle] as bigint) < from) low = middle + 1;
      else high = middle;
    }
    for (let piece = low; (this.ends[piece] ?? until) < until; piece++) work(piece);
  }
}
