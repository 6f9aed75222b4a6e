import { type ActivationRow, ratioOf } from "../../memory/activation-rows.js";
import type { Variant } from "../plan.js";

/** A row's recompute attributes while decisions are taken (μ-TWO's table B). */
export interface Candidate {
  readonly row: Pick<
    ActivationRow,
    "name" | "memoryBytes" | "createdRank" | "firstBackwardAccess" | "lastBackwardAccess"
  >;
  readonly sources: Set<string>;
  recomputeMs: number;
  totalMs: number;
  ratio: number;
}

/** A row as a candidate, with its first attributes. */
export const candidateOf = (
  row: Candidate["row"] & Pick<ActivationRow, "recomputeSources" | "recomputeMs">,
): Candidate => ({
  row,
  sources: new Set(row.recomputeSources),
  recomputeMs: row.recomputeMs,
  totalMs: row.recomputeMs,
  ratio: ratioOf(row.memoryBytes, row.recomputeMs),
});

/** Greatest ratio first; among equals the one made first, so that plans are the same every time. */
export const better = (a: Candidate, z: Candidate): boolean =>
  a.ratio > z.ratio || (a.ratio === z.ratio && a.row.createdRank < z.row.createdRank);

/** The best of some candidates by their ratios; undefined of none. */
export function bestOf(candidates: Iterable<Candidate>): Candidate | undefined {
  let best: Candidate | undefined;
  for (const candidate of candidates) if (!best || better(candidate, best)) best = candidate;
  return best;
}

/**
 * Who is recomputed from what, while candidates are taken one after the other: μ-TWO's Algorithms E and F, with an index
 * of who starts from whom instead of loops over all.
 *
 * "printed" is the paper's: a candidate's own recomputation is counted only in one of two cases, and a candidate keeps
 * a source that is taken if it is needed while that one is back. "mended" always counts it, as the chain a→b shows:
 * evicting a after b costs a twice (mutwo.md 13.3); and no source is kept so: blocks are taken to be independent, as if
 * a copy made for one block were never there for another.
 */
export class Lineage {
  /** Those that were recomputed. */
  readonly recomputed = new Set<Candidate>();
  private readonly users = new Map<string, Set<Candidate>>();

  constructor(
    readonly remaining: Map<string, Candidate>,
    private readonly variant: Variant,
  ) {
    for (const candidate of remaining.values())
      for (const source of candidate.sources) this.usersOf(source).add(candidate);
  }

  /**
   * Until when what was swapped must be back, by rank: what is computed again needs it before its first backward use. The
   * time that takes is written into `recomputeMs`, by that rank (mutwo.md 8; the paper does not give this algorithm).
   */
  deadlines(recomputeMs: Float64Array): (row: Pick<Candidate["row"], "name" | "firstBackwardAccess">) => number {
    recomputeMs.fill(0);
    const needed = new Map<string, number>();
    for (const { row, sources, recomputeMs: ms } of this.recomputed) {
      recomputeMs[row.firstBackwardAccess]! += ms;
      for (const source of sources)
        needed.set(source, Math.min(needed.get(source) ?? row.firstBackwardAccess, row.firstBackwardAccess));
    }
    return ({ name, firstBackwardAccess }) => Math.min(firstBackwardAccess, needed.get(name) ?? firstBackwardAccess);
  }

  private usersOf(name: string): Set<Candidate> {
    const known = this.users.get(name) ?? new Set();
    this.users.set(name, known);
    return known;
  }

  /** Recomputations that start from a candidate. */
  private dependents(name: string): number {
    let count = 0;
    for (const user of this.usersOf(name)) if (this.recomputed.has(user)) count++;
    return count;
  }

  private replace(user: Candidate, chosen: Candidate): void {
    const { name } = chosen.row;
    user.sources.delete(name);
    this.usersOf(name).delete(user);
    for (const source of chosen.sources) {
      user.sources.add(source);
      this.usersOf(source).add(user);
    }
    user.recomputeMs += chosen.recomputeMs;
  }

  private hasLeft(candidate: Candidate): boolean {
    return this.remaining.get(candidate.row.name) !== candidate;
  }

  /** A candidate is recomputed: whoever needed it now starts from its sources and pays its time. */
  recompute(chosen: Candidate): void {
    this.recomputed.add(chosen);
    this.leave(chosen);
  }

  /**
   * A candidate leaves, recomputed or (as printed) swapped: whoever needed it no longer finds it. A mended swap needs no
   * such thing: a block that reads what is swapped makes it come back before (plan/rewrite.ts).
   */
  leave(chosen: Candidate): void {
    const { name } = chosen.row;
    this.remaining.delete(name);
    // Algorithm E
    const users = [...this.usersOf(name)].filter((user) => user !== chosen);
    let count = 1;
    for (const user of users)
      if (this.recomputed.has(user)) {
        this.replace(user, chosen);
        count++;
      }
    // Algorithm F
    const touched = new Set(users.filter((user) => !this.hasLeft(user)));
    for (const source of chosen.sources) {
      const candidate = this.remaining.get(source);
      if (candidate) touched.add(candidate);
    }
    for (const candidate of touched) this.update(candidate, chosen, count);
  }

  private update(candidate: Candidate, chosen: Candidate, count: number): void {
    const own = candidate.row.name;
    if (candidate.sources.has(chosen.row.name)) {
      const { firstBackwardAccess, lastBackwardAccess } = chosen.row;
      const needed = candidate.row.firstBackwardAccess;
      if (this.variant === "printed" && firstBackwardAccess <= needed && needed <= lastBackwardAccess) return;
      this.replace(candidate, chosen);
      candidate.totalMs = candidate.recomputeMs * (1 + this.dependents(own));
    }
    if (chosen.sources.has(own))
      candidate.totalMs = candidate.recomputeMs * (this.variant === "printed" ? count : 1 + this.dependents(own));
    candidate.ratio = ratioOf(candidate.row.memoryBytes, candidate.totalMs);
  }
}
