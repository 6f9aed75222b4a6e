import type { ActivationRow } from "../memory/activation-rows.js";
import type { Compiled, CompiledNode } from "./compiled.js";
import type { Lifetimes } from "./lifetimes.js";
import { pcieLink } from "./link.js";
import type { PlanProblem } from "./plan.js";
import { type Rows, spread } from "./rows.js";

/** Numbers of bytes in rows: shares of a MiB keep the solver's tolerances small. */
export const byteUnit = 2 ** 20;
/** The time before and after a node is looked at in so many windows each. */
const copyWindows = 8;

/** What rows for copies must know of the program that they go into. */
interface Facts {
  readonly problem: PlanProblem;
  readonly graph: Compiled;
  readonly lifetimes: Lifetimes;
  /** By saved activation. */
  readonly uses: readonly ActivationRow[];
  /** By node: the column that says that it runs again. */
  readonly again: readonly (number | undefined)[];
  /** A time in ms as a cost. */
  readonly costOf: (ms: number) => number;
}

/** Rows of a program that hold the copies of swaps against the time that there is for them. */
export class CopyRows {
  /** Columns for the time that blocks take at least, and for waits and blocks beyond that. */
  private readonly blocks: number;
  private readonly more: number;

  constructor(
    private readonly program: Rows,
    private readonly facts: Facts,
  ) {
    const { graph, again, costOf } = facts;
    this.blocks = program.column({ cost: 0 });
    // a wait of w adds (1 − slowdown)·w or more to what its copy costs anyway
    this.more = program.column({ cost: costOf(1 - Math.max(pcieLink.slowdown.out, pcieLink.slowdown.in)) });
    const ms = again.flatMap((z, rank): [number, number][] =>
      z === undefined ? [] : [[z, (graph.nodes[rank] as CompiledNode).ms]],
    );
    program.row([...ms, [this.blocks, -1]], 0);
  }

  /** The copies of what is away at a node (columns by activation) fit into the time before and after it. */
  add(rank: number, away: ReadonlyMap<number, number>): void {
    const { program } = this;
    const { problem, graph, lifetimes, uses } = this.facts;
    const { nodeMs } = problem;
    const msOf = (from: number, to: number): number => nodeMs.slice(from, to).reduce((sum, ms) => sum + ms, 0);
    const fit = (swaps: readonly number[], from: number, to: number, hasBlocks: boolean): void =>
      program.row(
        [
          ...swaps.map((i): [number, number] => [away.get(i) as number, -(uses[i] as ActivationRow).swapMs]),
          [this.more, 1],
          ...(hasBlocks ? [[this.blocks, 1] as const] : []),
        ],
        -msOf(from, to),
      );
    const swaps = [...away.keys()];
    const left = new Map(lifetimes.values.map((value) => [value.activation, Math.max(value.created, value.sure)]));
    const leftAt = (i: number): number => left.get(i) as number;
    const backAt = (i: number): number => (uses[i] as ActivationRow).firstBackwardAccess;
    const isForward = graph.nodes[rank]?.forward === true;
    for (const from of spread(sorted(swaps.map(leftAt)), copyWindows))
      fit(
        swaps.filter((i) => leftAt(i) >= from),
        from + 1,
        rank,
        !isForward,
      );
    for (const to of spread(sorted(swaps.map(backAt)), copyWindows))
      fit(
        swaps.filter((i) => backAt(i) <= to),
        rank + 1,
        to,
        true,
      );
    const host = problem.constraints?.hostBytes;
    if (host !== undefined)
      program.row(
        swaps.map((i): [number, number] => [away.get(i) as number, -(uses[i] as ActivationRow).memoryBytes / byteUnit]),
        -host / byteUnit,
      );
  }
}

const sorted = (list: readonly number[]): number[] => [...new Set(list)].sort((a, z) => a - z);
