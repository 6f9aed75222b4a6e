import type { Pointer } from "../ort-api.js";
import type { Cuda } from "./cuda.js";
import type { Releases } from "./releases.js";

/** What is launched in a lane, after what some earlier ones of other lanes launched. */
export interface LaneWork {
  readonly lane: number;
  /** Places in the list of those to wait for. */
  readonly waits: readonly number[];
  launch(): void;
}

/** The streams of a step's lanes, of which the first is the step's own. */
export class LaneStreams {
  /** The lane in which what is in turn was launched last. */
  private current = 0;
  private readonly events: Pointer[] = [];

  constructor(
    private readonly cuda: Pick<Cuda, "event" | "destroyEvent" | "record" | "waitFor" | "wait">,
    private readonly streams: readonly Pointer[],
    releases: Releases,
  ) {
    releases.add(() => this.events.forEach((event) => void cuda.destroyEvent(event)));
  }

  /** What is launched next, in this lane, comes after all that was launched before, in whichever lane. */
  turnTo(lane: number): void {
    if (lane === this.current) return;
    this.handOver(this.event(0), this.current, [lane]);
    this.current = lane;
  }

  /** Nothing was launched, or it does not matter any more. */
  reset(): void {
    this.current = 0;
  }

  /** Launches all, lanes side by side; what comes later in the first lane comes after all of them. */
  sideBySide(work: readonly LaneWork[]): void {
    this.turnTo(0);
    const lanes = [...new Set(work.map(({ lane }) => lane))];
    const others = lanes.filter((lane) => lane !== 0);
    if (others.length) this.handOver(this.event(0), 0, others);
    const awaited = new Map<number, Pointer>();
    for (const { waits } of work)
      for (const at of waits) if (!awaited.has(at)) awaited.set(at, this.event(1 + awaited.size));
    work.forEach(({ lane, waits, launch }, at) => {
      for (const other of waits) this.cuda.waitFor(this.stream(lane), awaited.get(other) as Pointer);
      launch();
      const event = awaited.get(at);
      if (event) this.cuda.record(event, this.stream(lane));
    });
    for (const lane of others) this.handOver(this.event(0), lane, [0]);
  }

  /** Waits on the host until all lanes are done. */
  wait(): void {
    for (const stream of this.streams) this.cuda.wait(stream);
  }

  /** What comes later in some lanes waits for what was launched in one. */
  private handOver(event: Pointer, from: number, to: readonly number[]): void {
    this.cuda.record(event, this.stream(from));
    for (const lane of to) this.cuda.waitFor(this.stream(lane), event);
  }

  private stream(lane: number): Pointer {
    return this.streams[lane] as Pointer;
  }

  private event(index: number): Pointer {
    while (this.events.length <= index) this.events.push(this.cuda.event(false));
    return this.events[index] as Pointer;
  }
}
