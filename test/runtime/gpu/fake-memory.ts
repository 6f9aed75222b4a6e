/** Device memory that only counts: addresses go up, and what is not freed is listed. */
export class FakeMemory {
  /** Address and bytes of what is held. */
  readonly held = new Map<bigint, number>();
  private next = 0x1000n;

  readonly malloc = (bytes: number): bigint => {
    const at = this.next;
    this.next += BigInt(Math.ceil(bytes / 256) * 256 + 0x1000);
    this.held.set(at, bytes);
    return at;
  };

  readonly free = (at: bigint): void => {
    if (!this.held.delete(at)) throw new Error(`freed twice: ${at}`);
  };
}
