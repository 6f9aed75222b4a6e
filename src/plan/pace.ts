import type { Effort, Stretch } from "./plan.js";

/** How much longer it takes to evaluate a plan than the unplanned step, about. */
const plannedOverUnplanned = 2;

/** How far a search has got: the vectors tried, of so many, until a time of `performance.now()`. */
export class Pace {
  tried = 0;
  moves: number;
  private readonly began = performance.now();
  private until: number;

  constructor(private readonly how: Effort) {
    this.moves = how.moves;
    this.until = this.began + how.timeLimitMs;
  }

  isOver(): boolean {
    return this.tried >= this.moves || performance.now() > this.until;
  }

  /** What is left when it is the turn of the next part. */
  get rest(): Stretch {
    return { moves: this.moves - this.tried, until: this.until };
  }

  /** So much from here on. */
  begin({ moves, until }: Stretch): void {
    this.moves = this.tried + moves;
    this.until = until;
  }

  /** As many moves as the time allows, by the fastest of some evaluations: the first run before the code is compiled. */
  limit(evaluate: () => void): void {
    let eachMs = Number.POSITIVE_INFINITY;
    const from = performance.now();
    for (let i = 0; i < 200 && (i < 3 || performance.now() - from < 0.1 * this.how.timeLimitMs); i++) {
      const began = performance.now();
      evaluate();
      eachMs = Math.min(eachMs, performance.now() - began);
    }
    const leftMs = Math.max(0, this.until - performance.now());
    this.moves = Math.min(this.moves, this.tried + Math.floor(leftMs / (plannedOverUnplanned * eachMs)));
  }

  /** More moves where they have turned out faster than at first. */
  extend(): void {
    const now = performance.now();
    const eachMs = (now - this.began) / Math.max(1, this.tried);
    const most = Math.floor(this.tried + Math.max(0, this.until - now) / eachMs);
    this.moves = Math.max(this.moves, Math.min(this.how.moves, most));
  }
}
