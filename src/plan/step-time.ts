import { type Graph, type Node, tensorOf } from "../graph/graph.js";
import { opOf } from "../ops/index.js";
import { arrivalMs, type Direction, Link, pcieLink } from "./link.js";

/** When something happens in a step, ms from its beginning. */
export interface Span {
  readonly beginMs: number;
  readonly endMs: number;
}

/** How long a step takes whose copies run beside its kernels. */
export interface StepTime {
  /** ms. */
  readonly totalMs: number;
  /** ms that the copies of each swapped tensor cost: nodes wait for them, and those beside them take longer. */
  readonly copyMs: ReadonlyMap<string, number>;
  /** By rank when each node runs. Of SwapOut and SwapIn when the copy does, of a wait all that the copy costs the nodes. */
  readonly spans: readonly Span[];
  /** By rank when the schedule gets to each node: of all but copies when they begin, ms. */
  readonly reachedMs: readonly number[];
  /** By rank how long each wait stands still until its copy is complete, ms; what is left of its span is what kernels lose. */
  readonly waitedMs: ReadonlyMap<number, number>;
}

/** A copy that has begun, or waits for those before it. */
interface Copy {
  readonly direction: Direction;
  readonly number: number;
  readonly ms: number;
  readonly rank: number;
  /** When its node is reached, ms: by the step's time, and by the link's clock. */
  readonly reachedMs: number;
  readonly clockMs: number;
}

/** The copies of a step on their link, each with a span as soon as it is complete. */
class Copies {
  private readonly link: Link;
  private readonly begun: Readonly<Record<Direction, Copy[]>> = { out: [], in: [] };
  private readonly endMs: Readonly<Record<Direction, number[]>> = { out: [], in: [] };

  constructor(
    private readonly traits: typeof pcieLink,
    private readonly spans: Span[],
  ) {
    this.link = new Link(traits);
  }

  begin(direction: Direction, ms: number, rank: number, reachedMs: number): Copy {
    const { clockMs } = this.link;
    const copy = { direction, number: this.link.begin(direction, ms), ms, rank, reachedMs, clockMs };
    this.begun[direction].push(copy);
    return copy;
  }

  /** Lets a kernel run that begins at `nowMs`. */
  advance(ms: number, nowMs: number): void {
    this.passing(nowMs, () => this.link.advance(ms));
  }

  /** Awaits a copy from `nowMs` on: how long nodes stand still, and all that it costs them, ms; `knownMs` if that is known. */
  arrive({ direction, number, ms }: Copy, nowMs: number, knownMs?: number): { waitedMs: number; costMs: number } {
    const waitedMs = this.passing(nowMs, () => this.link.finish(direction, number), knownMs);
    return { waitedMs, costMs: knownMs ?? arrivalMs(this.traits, direction, ms, waitedMs) };
  }

  /** Gives spans to the copies that nothing awaits. */
  finish(nowMs: number): void {
    for (const list of Object.values(this.begun)) {
      const last = list.at(-1);
      if (last) this.arrive(last, nowMs);
    }
  }

  /** Lets the link's time pass, and gives spans to what is complete then, `mostMs` later at the latest. */
  private passing<T>(nowMs: number, pass: () => T, mostMs = Number.POSITIVE_INFINITY): T {
    // what kernels lose is time of the step, but none of the link
    const startMs = this.link.clockMs;
    const result = pass();
    for (const direction of ["out", "in"] as const) {
      const doneMs = this.link.doneMs(direction);
      const ends = this.endMs[direction];
      for (let i = ends.length; i < doneMs.length; i++) {
        const { rank, reachedMs, clockMs } = this.begun[direction][i] as Copy;
        const ms = (doneMs[i] as number) - Math.max(clockMs, doneMs[i - 1] ?? 0);
        const earliestMs = Math.max(reachedMs, ends[i - 1] ?? 0);
        const endMs = Math.max(earliestMs, nowMs + Math.min(mostMs, (doneMs[i] as number) - startMs));
        ends.push(endMs);
        this.spans[rank] = { beginMs: Math.max(earliestMs, endMs - ms), endMs };
      }
    }
    return result;
  }
}

/**
 * Time of a step whose nodes run one after the other, but copies between device and host beside them, on one channel
 * each way. `nodeMs` gives the time of a node, that of its copy alone for SwapOut and SwapIn; waits and other views take
 * none. Of a step that was measured `swapNodeMs` gives what its parts of swaps took of the time of the nodes; copies are
 * then placed beside that.
 */
export function stepTime(
  graph: Graph,
  nodeMs: (node: Node) => number,
  traits = pcieLink,
  swapNodeMs?: (node: Node) => number,
): StepTime {
  const spans: Span[] = [];
  const reachedMs: number[] = [];
  const link = new Copies(traits, spans);
  let totalMs = 0;
  const copies = new Map<string, Copy>();
  /** The swapped tensor that each host tensor holds. */
  const source = new Map<string, string>();
  const copyMs = new Map<string, number>();
  const waits = new Map<number, number>();
  graph.nodes.forEach((node, rank) => {
    const { swap } = opOf(node);
    const [from = "", second = ""] = node.inputs;
    const output = node.outputs[0] as string;
    reachedMs.push(totalMs);
    let ms: number;
    if (swap === "out" || swap === "in") {
      copies.set(output, link.begin(swap, nodeMs(node), rank, totalMs));
      ms = swapNodeMs?.(node) ?? 0;
      link.advance(ms, totalMs);
    } else if (swap) {
      const name = source.get(second) ?? second;
      const { costMs, waitedMs } = link.arrive(copies.get(from) as Copy, totalMs, swapNodeMs?.(node));
      copyMs.set(name, (copyMs.get(name) ?? 0) + costMs);
      waits.set(rank, waitedMs);
      if (tensorOf(graph, output).host) source.set(output, name);
      ms = costMs;
    } else {
      ms = nodeMs(node);
      link.advance(ms, totalMs);
    }
    spans[rank] ??= { beginMs: totalMs, endMs: totalMs + ms };
    totalMs += ms;
  });
  link.finish(totalMs);
  return { totalMs, copyMs, spans, reachedMs, waitedMs: waits };
}
