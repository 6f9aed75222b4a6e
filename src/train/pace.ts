/** So many of the last steps tell how fast it goes. */
const mostRecent = 32;

/** How fast a training goes: the wall time of its steps, and what is left. */
export class Pace {
  private last = 0;
  private looked = Number.NEGATIVE_INFINITY;
  /** Wall times of the last steps, ms. */
  private readonly recent: number[] = [];
  private spentMs = 0;
  private validationMs = 0;
  private epochSteps = Number.POSITIVE_INFINITY;
  private done = 0;

  /** Time runs from here on: what was between two epochs is not of a step. */
  start(): void {
    this.last = performance.now();
  }

  /** Notes that a step is done; returns the wall time since the one before it, ms. */
  step(): number {
    const now = performance.now();
    const ms = now - this.last;
    this.last = now;
    this.recent.push(ms);
    if (this.recent.length > mostRecent) this.recent.shift();
    this.spentMs += ms;
    this.done++;
    return ms;
  }

  /** Notes what the validation of an epoch of so many steps took, ms. */
  validated(ms: number, epochSteps: number): void {
    this.validationMs = ms;
    this.epochSteps = epochSteps;
  }

  /** Of the last steps. */
  samplesPerSecond(batchSize: number): number {
    const ms = this.recent.reduce((sum, one) => sum + one, 0);
    return ms > 0 ? (1000 * batchSize * this.recent.length) / ms : 0;
  }

  /** What the rest of the steps takes at the mean pace until now, with their validations, ms. */
  leftMs(step: number, steps: number): number {
    const left = steps - step;
    const validations = Math.ceil(left / this.epochSteps) || 0;
    return (this.spentMs / Math.max(1, this.done)) * left + validations * this.validationMs;
  }

  /** Whether something that is due every so many ms is; if so the time runs anew. */
  isDue(everyMs: number): boolean {
    if (this.last - this.looked < everyMs) return false;
    this.looked = this.last;
    return true;
  }
}
