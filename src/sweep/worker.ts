import type { Manifest, Point } from "./manifest.js";
import { type Outcome, type PointOptions, runPoint } from "./point.js";

/*
 * A process that does one point after another for the runner, which started it: what dies in it takes no other point
 * with it. It ends when the runner is gone.
 */

/** What the runner says first. */
export interface Start extends Pick<PointOptions, "temporary" | "retries" | "device"> {
  readonly manifest: Omit<Manifest, "points">;
}

/** What the runner says then: how it is started, a point to do. */
export type Order = { readonly start: Start } | { readonly point: Point };

/** What a worker says: that it is there, what became of the point. */
export type Answer = { readonly isReady: true } | { readonly outcome: Outcome };

let start: Start | undefined;

const say = (answer: Answer): void => void process.send?.(answer);

async function obey(order: Order): Promise<void> {
  if ("start" in order) {
    start = order.start;
    say({ isReady: true });
  } else if (start) say({ outcome: await runPoint({ ...start.manifest, points: [] }, order.point, start) });
}

process.on("disconnect", () => process.exit());
process.on("message", (order: Order) => void obey(order));
// Ctrl-C reaches every process of a terminal: the runner says what is to end
process.on("SIGINT", () => {});
