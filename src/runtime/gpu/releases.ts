/** What is to be given back at the end, in reverse order of taking. */
export class Releases {
  private readonly steps: (() => void)[] = [];
  private closed = false;

  get isClosed(): boolean {
    return this.closed;
  }

  /** At the end, `release` runs before those that were added earlier. */
  add(release: () => void): void {
    this.steps.push(release);
  }

  /** Gives everything back, once. */
  close(): void {
    this.closed = true;
    // after a fault nothing can be freed any more; what failed first is what to report
    for (const release of this.steps.splice(0).reverse())
      try {
        release();
      } catch {}
  }
}
