import { type Graph, type Node, producers, tensorOf } from "../graph/graph.js";
import { placeOf, stagesOf } from "../graph/lanes.js";
import { opOf } from "../ops/index.js";
import { arrivalMs, type Direction, Link, pcieLink } from "./link.js";
import type { Span, StepTime } from "./step-time.js";

/** A copy that has begun. */
interface Copy {
  readonly direction: Direction;
  readonly number: number;
  readonly ms: number;
  readonly rank: number;
}

/** Where a lane is in a stage: at which of its nodes, and what is left of that one once it runs, ms alone. */
interface Progress {
  readonly ranks: readonly number[];
  next: number;
  leftMs: number | undefined;
}

/** What is left of a node after its own time is rounding, ms. */
const rounding = 1e-9;

/**
 * Time of a step whose lanes run side by side. `capacity` is how many nodes' work the device gets done at a time: of more
 * nodes that run at once each is slower by as much. Nodes of a lane run in list order, begin with their stage and when
 * others have made what they read; where stages meet lanes wait for each other. Copies are as in `stepTime`, which this is
 * for a capacity of 1 but for what lanes hide of each other's waits.
 */
export const laneTime = (graph: Graph, nodeMs: (node: Node) => number, capacity: number, traits = pcieLink): StepTime =>
  new Simulation(graph, nodeMs, capacity, traits).run();

/**
 * The capacity with which a step of these times of nodes takes so long: from 1, one node after the other, to the number of
 * lanes that run side by side.
 */
export function capacityOf(graph: Graph, nodeMs: readonly number[], stepMs: number): number {
  const most = Math.max(1, ...stagesOf(graph.nodes).map(({ lanes }) => lanes.size));
  const msOf = new Map(graph.nodes.map((node, rank) => [node, nodeMs[rank] as number]));
  const time = (capacity: number): number => laneTime(graph, (node) => msOf.get(node) as number, capacity).totalMs;
  let [low, high] = [1, most];
  // more is never slower
  for (let i = 0; i < 40 && high - low > 1e-4; i++) {
    const middle = (low + high) / 2;
    if (time(middle) > stepMs) low = middle;
    else high = middle;
  }
  return high;
}

class Simulation {
  private readonly link: Link;
  private readonly made: ReadonlyMap<string, number>;
  private readonly isDone: Uint8Array;
  private readonly spans: Span[] = [];
  private readonly reachedMs: number[] = [];
  private readonly waitedMs = new Map<number, number>();
  private readonly copyMs = new Map<string, number>();
  private readonly copies = new Map<string, Copy>();
  private readonly begun: Readonly<Record<Direction, Copy[]>> = { out: [], in: [] };
  /** The swapped tensor that each host tensor holds. */
  private readonly source = new Map<string, string>();

  constructor(
    private readonly graph: Graph,
    private readonly nodeMs: (node: Node) => number,
    private readonly capacity: number,
    private readonly traits: typeof pcieLink,
  ) {
    this.link = new Link(traits);
    this.made = producers(graph);
    this.isDone = new Uint8Array(graph.nodes.length);
  }

  run(): StepTime {
    let before: readonly number[] = [];
    for (const { first, last } of stagesOf(this.graph.nodes)) {
      const lanes = new Map<number, number[]>();
      for (let rank = first; rank <= last; rank++) {
        const { lane } = placeOf(this.graph.nodes[rank] as Node);
        const ranks = lanes.get(lane);
        if (ranks) ranks.push(rank);
        else lanes.set(lane, [rank]);
      }
      // streams wait for each other where stages meet
      const met = new Set([...before, ...lanes.keys()]);
      if (before.length && met.size > 1) this.link.advance(this.traits.awaitMs);
      before = [...lanes.keys()];
      this.stage([...lanes.values()].map((ranks) => ({ ranks, next: 0, leftMs: undefined })));
    }
    const totalMs = this.link.clockMs;
    for (const [direction, list] of Object.entries(this.begun) as [Direction, Copy[]][])
      if (list.length) this.link.finish(direction, list.length - 1);
    this.placeCopies();
    const { spans, reachedMs, waitedMs, copyMs } = this;
    return { totalMs, copyMs, spans, reachedMs, waitedMs };
  }

  private stage(lanes: readonly Progress[]): void {
    for (;;) {
      // a lane that begins or ends something may let another one begin
      while (lanes.some((lane) => this.proceed(lane))) {}
      const running = lanes.filter(({ leftMs }) => leftMs !== undefined);
      if (!running.length && lanes.every(({ ranks, next }) => next === ranks.length)) return;
      const rate = Math.min(1, this.capacity / Math.max(1, running.length));
      const nextMs = running.reduce((least, { leftMs }) => Math.min(least, leftMs as number), Number.POSITIVE_INFINITY);
      const passedMs = this.link.next(nextMs / rate, running.length > 0);
      for (const lane of running) lane.leftMs = Math.max(0, (lane.leftMs as number) - passedMs * rate);
    }
  }

  /** Lets a lane end what is over and begin what can; whether anything changed. */
  private proceed(lane: Progress): boolean {
    const rank = lane.ranks[lane.next];
    if (rank === undefined) return false;
    if (lane.leftMs !== undefined) {
      if (lane.leftMs > rounding) return false;
      lane.leftMs = undefined;
      this.end(lane, rank);
      return true;
    }
    const node = this.graph.nodes[rank] as Node;
    if (node.inputs.some((name) => this.isDone[this.made.get(name) ?? -1] === 0)) return false;
    this.reachedMs[rank] ??= this.link.clockMs;
    const { swap } = opOf(node);
    if (swap === "out" || swap === "in") {
      this.begin(node, rank, swap);
      this.end(lane, rank);
      return true;
    }
    if (!swap) {
      lane.leftMs = this.nodeMs(node);
      return true;
    }
    const copy = this.copies.get(node.inputs[0] as string) as Copy;
    if (this.link.doneMs(copy.direction).length <= copy.number) return false;
    lane.leftMs = this.arrived(node, rank, copy);
    return true;
  }

  private begin(node: Node, rank: number, direction: Direction): void {
    const ms = this.nodeMs(node);
    const copy = { direction, number: this.link.begin(direction, ms), ms, rank };
    this.begun[direction].push(copy);
    this.copies.set(node.outputs[0] as string, copy);
  }

  /** A copy that was awaited is complete; what it still costs the lane, ms. */
  private arrived(node: Node, rank: number, { direction, ms }: Copy): number {
    const waited = this.link.clockMs - (this.reachedMs[rank] as number);
    const [, second = ""] = node.inputs;
    const [output = ""] = node.outputs;
    const name = this.source.get(second) ?? second;
    const costMs = arrivalMs(this.traits, direction, ms, waited);
    this.copyMs.set(name, (this.copyMs.get(name) ?? 0) + costMs);
    this.waitedMs.set(rank, waited);
    if (tensorOf(this.graph, output).host) this.source.set(output, name);
    return costMs - waited;
  }

  private end(lane: Progress, rank: number): void {
    this.isDone[rank] = 1;
    this.spans[rank] = { beginMs: this.reachedMs[rank] as number, endMs: this.link.clockMs };
    lane.next++;
  }

  /** Gives copies their spans. */
  private placeCopies(): void {
    for (const [direction, list] of Object.entries(this.begun) as [Direction, Copy[]][]) {
      const doneMs = this.link.doneMs(direction);
      list.forEach(({ rank }, number) => {
        const beginMs = Math.max(this.reachedMs[rank] as number, doneMs[number - 1] ?? 0);
        this.spans[rank] = { beginMs, endMs: doneMs[number] as number };
      });
    }
  }
}
