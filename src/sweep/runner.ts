import { type ChildProcess, fork } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import path from "node:path";
import type { Manifest, Point } from "./manifest.js";
import { keepFailure, known, type Outcome } from "./point.js";
import { Queue } from "./queue.js";
import { doneIds, openFolder, resultFile } from "./result.js";
import type { Answer, Order, Start } from "./worker.js";

/** How the points of a sweep are done on this machine. */
export interface RunnerOptions {
  /** Points at a time, a process each; of `devices` so many on each. Default 1. */
  readonly jobs?: number | undefined;
  /** GPUs to do points on, whatever the points say. */
  readonly devices?: readonly number[] | undefined;
  /** Attempts of a point after the first, where what failed may pass; default 2. */
  readonly retries?: number | undefined;
  /** The most seconds that a point may take. */
  readonly limitSeconds?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called when it begins and after each point. */
  readonly onProgress?: ((progress: RunnerProgress) => void) | undefined;
  /** Milliseconds before the first retry, twice as many before each that follows; default 1000. */
  readonly backOffMs?: number | undefined;
}

/** How far a sweep is. */
export interface RunnerProgress {
  readonly total: number;
  /** Points with a result, those from before among them. */
  readonly done: number;
  /** Of those that were done now, how many failed. */
  readonly failed: number;
  /** Milliseconds that the rest takes if it goes on so; undefined before anything was done. */
  readonly leftMs: number | undefined;
}

/** The longest wait before a retry, ms. */
const longestBackOffMs = 60_000;

/** How often in a row workers may end before they are there: by themselves, and by a signal, which somebody sent. */
const mostFalseStarts = { ended: 3, killed: 30 };

/**
 * Does the points of a manifest that have no result, in processes that stay alive from point to point. A point whose
 * process dies is tried again, as is one that failed by what may pass. Throws the reason of `signal`, and where nothing can
 * be written or no worker starts; what was done until then is kept.
 */
export async function runSweep(manifest: Manifest, options: RunnerOptions = {}): Promise<void> {
  const { devices } = options;
  if (devices && !manifest.points.some(({ options: { backend } }) => backend === "cuda"))
    throw new Error(
      `no point of the manifest runs on a GPU: --devices ${devices.join(",")} (backend: cuda in the spec)`,
    );
  const temporary = openFolder(manifest.folder);
  try {
    await new Runner(manifest, options, temporary).run();
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/** A process that does points, with the one that it does. */
interface Worker {
  readonly child: ChildProcess;
  readonly device: number | undefined;
  isReady: boolean;
  point: Point | undefined;
  /** The measurement that it has at hand. */
  profile: string | undefined;
  began: number;
  limit: NodeJS.Timeout | undefined;
  isLate: boolean;
}

class Runner {
  private readonly queue: Queue;
  private readonly workers = new Set<Worker>();
  private readonly attempts = new Map<string, number>();
  private readonly waiting = new Set<NodeJS.Timeout>();
  private readonly retries: number;
  private readonly backOffMs: number;
  private readonly before: number;
  private readonly began = performance.now();
  private left: number;
  private failed = 0;
  private falseStarts = 0;
  /** Waits in a row because nothing could be written, and whether one is on. */
  private stuck = 0;
  private isPaused = false;
  private end: { resolve(): void; reject(error: unknown): void } | undefined;

  constructor(
    private readonly manifest: Manifest,
    private readonly options: RunnerOptions,
    private readonly temporary: string,
  ) {
    this.retries = options.retries ?? 2;
    this.backOffMs = options.backOffMs ?? 1000;
    const done = doneIds(manifest.folder);
    const points = manifest.points.filter(({ id }) => !done.has(id));
    this.left = points.length;
    this.before = manifest.points.length - points.length;
    this.queue = new Queue(points, (profile) => existsSync(this.runFile(profile)));
  }

  private readonly runFile = (profile: string): string => path.join(this.manifest.folder, "runs", `${profile}.json`);

  async run(): Promise<void> {
    const { signal, devices = [undefined], jobs = 1 } = this.options;
    signal?.throwIfAborted();
    this.tell();
    if (this.left === 0) return;
    const stop = (): void => this.end?.reject(signal?.reason);
    try {
      await new Promise<void>((resolve, reject) => {
        this.end = { resolve, reject };
        signal?.addEventListener("abort", stop);
        const slots = devices.flatMap((device) => Array.from({ length: jobs }, () => device));
        // no more processes than points
        for (const device of slots.slice(0, this.left)) this.start(device);
      });
    } finally {
      signal?.removeEventListener("abort", stop);
      this.end = undefined;
      for (const timer of this.waiting) clearTimeout(timer);
      await Promise.all([...this.workers].map(ended));
    }
  }

  private tell(): void {
    const total = this.manifest.points.length;
    const done = total - this.left;
    const made = done - this.before;
    const leftMs = made > 0 ? ((performance.now() - this.began) / made) * this.left : undefined;
    this.options.onProgress?.({ total, done, failed: this.failed, leftMs });
  }

  private start(device: number | undefined): void {
    const file = path.join(__dirname, `worker${path.extname(__filename)}`);
    const child = fork(file, [], {
      stdio: ["ignore", "ignore", process.env.MUTWO_STACK ? "inherit" : "ignore", "ipc"],
    });
    const worker: Worker = {
      child,
      device,
      isReady: false,
      point: undefined,
      profile: undefined,
      began: 0,
      limit: undefined,
      isLate: false,
    };
    this.workers.add(worker);
    child.on("message", (answer: Answer) => this.heard(worker, answer));
    child.on("error", () => {
      if (child.pid === undefined) this.gone(worker, "could not be started");
    });
    child.on("exit", (code, signal) =>
      this.gone(worker, signal ? `was ended by ${signal}` : `ended with status ${code}`),
    );
    const { points: _, ...manifest } = this.manifest;
    const start: Start = { manifest, temporary: this.temporary, retries: this.retries, device };
    order(worker, { start });
  }

  private heard(worker: Worker, answer: Answer): void {
    if ("isReady" in answer) {
      worker.isReady = true;
      this.falseStarts = 0;
    } else {
      const { point } = worker;
      this.free(worker);
      if (point) this.settle(point, answer.outcome);
    }
    this.give(worker);
  }

  /** Takes a worker's point from it. */
  private free(worker: Worker): void {
    clearTimeout(worker.limit);
    const { point } = worker;
    worker.point = undefined;
    if (point) this.queue.release(point, existsSync(this.runFile(point.profile)));
  }

  /** Gives a worker the next point, if there is one for it now. */
  private give(worker: Worker): void {
    if (!this.end || !worker.isReady || worker.point || this.isPaused) return;
    const point = this.queue.take(worker.profile);
    if (!point) return;
    worker.point = point;
    worker.profile = point.profile;
    worker.began = performance.now();
    const { limitSeconds } = this.options;
    if (limitSeconds !== undefined)
      worker.limit = setTimeout(() => {
        worker.isLate = true;
        worker.child.kill("SIGKILL");
      }, 1000 * limitSeconds);
    order(worker, { point });
  }

  private giveAll(): void {
    for (const worker of this.workers) this.give(worker);
  }

  private settle(point: Point, outcome: Outcome): void {
    if (outcome.state === "stuck") this.pause(point, outcome.error);
    else if (outcome.state === "left") this.tryLater(point);
    else {
      this.stuck = 0;
      this.left--;
      if (outcome.state === "failed") this.failed++;
      this.tell();
      if (this.left === 0) this.end?.resolve();
    }
    this.giveAll();
  }

  private tryLater(point: Point): void {
    const attempt = this.attempts.get(point.id) ?? 0;
    this.attempts.set(point.id, attempt + 1);
    this.after(attempt, () => this.queue.giveBack(point));
  }

  /** Nothing can be written: no point's fault, and all wait, until it has lasted too long. */
  private pause(point: Point, error: string): void {
    this.queue.giveBack(point);
    if (this.isPaused) return;
    if (this.stuck >= this.retries) {
      this.end?.reject(new Error(`${error} (${this.left} points are left; the same command goes on)`));
      return;
    }
    this.isPaused = true;
    this.after(this.stuck++, () => {
      this.isPaused = false;
    });
  }

  /** Does something after the wait before a retry, and gives out points again. */
  private after(attempt: number, then: () => void): void {
    const timer = setTimeout(
      () => {
        this.waiting.delete(timer);
        then();
        this.giveAll();
      },
      Math.min(longestBackOffMs, this.backOffMs * 2 ** attempt),
    );
    this.waiting.add(timer);
  }

  /** A worker has ended: its point is tried again unless its result is there, and another worker takes its place. */
  private gone(worker: Worker, how: string): void {
    if (!this.workers.delete(worker) || !this.end) return;
    const { point } = worker;
    this.free(worker);
    const most = worker.child.signalCode ? mostFalseStarts.killed : mostFalseStarts.ended;
    if (!worker.isReady && ++this.falseStarts > most) {
      this.end.reject(new Error(`no worker starts: its process ${how} (MUTWO_STACK=1 shows why)`));
      return;
    }
    this.start(worker.device);
    if (point) this.settle(point, this.outcomeOf(point, worker, how));
  }

  private outcomeOf(point: Point, { isLate, began }: Worker, how: string): Outcome {
    const { manifest, temporary, retries } = this;
    // it died behind its work
    if (existsSync(resultFile(manifest.folder, point.id))) return known(manifest.folder, point);
    const message = isLate
      ? `took longer than ${this.options.limitSeconds} s, the limit of a point`
      : `its process ${how}`;
    return keepFailure(manifest, point, { message, mayPass: !isLate, began }, { temporary, retries });
  }
}

/** Says something to a worker; one that is gone is noticed when its end is. */
const order = ({ child }: Worker, what: Order): void => {
  if (child.connected) child.send(what, () => {});
};

/** How long a worker has to end by itself, ms: what it started (a solver) ends with it then. */
const gracePeriodMs = 500;

/** Ends a worker, whatever it does: results are whole or not there. */
async function ended({ child }: Worker): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const end = new Promise((resolve) => child.once("exit", resolve));
  if (child.connected) child.disconnect();
  const timer = setTimeout(() => child.kill("SIGKILL"), gracePeriodMs);
  await end;
  clearTimeout(timer);
}
