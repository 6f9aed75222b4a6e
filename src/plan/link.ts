/** How copies between device and host get on beside each other and beside kernels. */
export interface LinkTraits {
  /** How much longer kernels beside a copy take, as a share of the copy's time. */
  readonly slowdown: Readonly<Record<Direction, number>>;
  /** Rate of a copy out, and of one in, while one the other way is under way, as a share of its rate alone. */
  readonly besideOther: Readonly<Record<Direction, number>>;
  /** Rate of a copy while kernels run, as a share of its rate alone. */
  readonly besideKernels: number;
  /** What it costs that nodes await a copy, even one that is complete, ms. */
  readonly awaitMs: number;
  /** How many times a copy's time alone is left for it, so that nodes need not wait for one that is a little late. */
  readonly margin: number;
}

/**
 * Measured on H100 cards over PCIe 5, with copies of 1 to 256 MiB: alone 55 GB/s out and 53 in, beside each other 34 and
 * 43. In planned steps of ResNet-50, GPT-2 and ViT-B the kernels beside copies out took 3.6 to 6 % longer, beside copies
 * in 5.1 to 9.5 % (those that fill the memory's bandwidth up to 20 %, convolutions hardly), copies beside kernels 0 to
 * 10 %; each wait of one stream for another in the captured step took 6 to 7 µs.
 */
export const pcieLink: LinkTraits = {
  slowdown: { out: 0.05, in: 0.075 },
  besideOther: { out: 0.62, in: 0.82 },
  besideKernels: 0.92,
  awaitMs: 0.006,
  margin: 1.2,
};

/** What a copy costs the nodes that waited for it so long, and its share of those beside it, ms. */
export const arrivalMs = (traits: LinkTraits, direction: Direction, ms: number, waited: number): number =>
  waited + traits.slowdown[direction] * Math.max(0, ms - waited) + traits.awaitMs;

/** What a copy of so many ms out, and back, costs at least: no node waits for it. */
export const hiddenSwapMs = (ms: number, traits = pcieLink): number =>
  arrivalMs(traits, "out", ms, 0) + arrivalMs(traits, "in", ms, 0);

/** Which way a copy goes, seen from the device. */
export type Direction = "out" | "in";

/** The copies of one direction, which run one after the other in the order in which they begin. */
interface Channel {
  /** Time alone that each copy begun still needs, ms; the first `done` are complete. */
  readonly leftMs: number[];
  done: number;
  /** When those that are complete were so, by the link's clock, ms. */
  readonly doneMs: number[];
}

/** The link between device and host while time passes: one channel each way. */
export class Link {
  private readonly channels: Readonly<Record<Direction, Channel>> = {
    out: { leftMs: [], done: 0, doneMs: [] },
    in: { leftMs: [], done: 0, doneMs: [] },
  };

  /** Time that has passed, ms. */
  clockMs = 0;

  constructor(private readonly traits: LinkTraits) {}

  /** Begins a copy that takes so long alone; returns its number in its direction. Throws for a time that is none. */
  begin(direction: Direction, ms: number): number {
    if (!(ms >= 0)) throw new Error(`time of a copy ${direction} is not known: ${ms}`);
    return this.channels[direction].leftMs.push(ms) - 1;
  }

  /** Lets time pass in which kernels run. */
  advance(ms: number): void {
    let left = ms;
    while (left > 0 && this.isBusy()) left -= this.step(left, this.traits.besideKernels);
    this.clockMs += left;
  }

  /** Lets time pass until a copy is complete, beside kernels or not, at most so long; returns how long that was, ms. */
  next(mostMs: number, isBesideKernels: boolean): number {
    if (this.isBusy()) return this.step(mostMs, isBesideKernels ? this.traits.besideKernels : 1);
    this.clockMs += mostMs;
    return mostMs;
  }

  /** Lets time pass in which none does until a copy is complete; returns how long that took, ms. */
  finish(direction: Direction, number: number): number {
    let waited = 0;
    while (this.channels[direction].done <= number) waited += this.step(Number.POSITIVE_INFINITY, 1);
    return waited;
  }

  /** When each complete copy of a direction was so, by `clockMs`, in the order in which they began. */
  doneMs(direction: Direction): readonly number[] {
    return this.channels[direction].doneMs;
  }

  private isBusy(): boolean {
    const { out, in: into } = this.channels;
    return out.done < out.leftMs.length || into.done < into.leftMs.length;
  }

  /** Goes on at a share of the rates until a copy is complete, at most so long; returns how long it was. */
  private step(mostMs: number, share: number): number {
    const { out, in: into } = this.channels;
    const { besideOther } = this.traits;
    const [first, second] = [out.leftMs[out.done], into.leftMs[into.done]];
    const isBoth = first !== undefined && second !== undefined;
    const [outRate, inRate] = isBoth ? [share * besideOther.out, share * besideOther.in] : [share, share];
    const ms = Math.min(
      mostMs,
      (first ?? Number.POSITIVE_INFINITY) / outRate,
      (second ?? Number.POSITIVE_INFINITY) / inRate,
    );
    this.clockMs += ms;
    if (first !== undefined) this.proceed(out, ms, outRate);
    if (second !== undefined) this.proceed(into, ms, inRate);
    return ms;
  }

  /** Lets a channel's first copy go on for some time that has passed. */
  private proceed(channel: Channel, ms: number, rate: number): void {
    const left = channel.leftMs[channel.done] as number;
    // what is left after its own time is rounding
    if (ms >= left / rate) channel.doneMs[channel.done++] = this.clockMs;
    else channel.leftMs[channel.done] = left - ms * rate;
  }
}
