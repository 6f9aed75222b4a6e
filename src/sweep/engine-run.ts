import { randomUUID } from "node:crypto";
import { appendFileSync, existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import { readText } from "../files.js";
import { few } from "../format.js";
import type { Engine, EngineJob, TaskStates } from "./engine.js";
import { formatIndexList } from "./index-list.js";
import type { Manifest, Point } from "./manifest.js";
import { doneIds } from "./result.js";

/** How a sweep runs on an engine. */
export interface EngineOptions extends Pick<EngineJob, "mutwo" | "parallel" | "settings"> {
  /** What each task's command has besides the manifest and its points: `--retries 2`. */
  readonly flags: readonly string[];
  /** The most points a task; default so many that there are 1000 tasks at most. */
  readonly pack?: number | undefined;
  /** The most seconds that a point takes. */
  readonly seconds?: number | undefined;
  /** How many submissions without a single new result are followed by another. */
  readonly retries: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (doing: string, done: number, total: number) => void;
  /** How often the engine is asked. */
  readonly pollMs?: number | undefined;
}

const mostTasks = 1000;

/** How long an engine may be silent that has answered. */
const patienceMs = 600_000;

/** The jobs of a sweep's folder, a line each: written before an engine hears of them, so that none is ever unknown. */
const jobsFile = (folder: string): string => path.join(folder, "engine.jsonl");

/** The job of a folder that an engine was handed last; undefined where it was handed none. */
export function lastJob(folder: string, engine: Engine): Pick<EngineJob, "name" | "tasks"> | undefined {
  if (!existsSync(jobsFile(folder))) return undefined;
  return readText("sweep's jobs", jobsFile(folder))
    .split("\n")
    .flatMap((line) => {
      try {
        return [JSON.parse(line) as { engine: string; name: string; tasks: string[] }];
      } catch {
        return []; // cut off where who wrote it was killed: no engine has heard of it
      }
    })
    .findLast((job) => job.engine === engine.name);
}

/** Packs points into tasks, at most `most` in each; those that share a measurement stay together where they fit. */
export function packTasks(points: readonly Pick<Point, "index" | "profile">[], most: number): string[] {
  const tasks: number[][] = [];
  let task: number[] = [];
  for (let first = 0; first < points.length; ) {
    let end = first + 1;
    while (end < points.length && points[end]?.profile === points[first]?.profile && end - first < most) end++;
    if (task.length + end - first > most) task = [];
    if (task.length === 0) tasks.push(task);
    task.push(...points.slice(first, end).map(({ index }) => index));
    first = end;
  }
  return tasks.map(formatIndexList);
}

/** The points of a manifest that have no result. */
export function missingPoints({ folder, points }: Manifest): Point[] {
  const done = doneIds(folder);
  return points.filter(({ id }) => !done.has(id));
}

const jobOf = (manifest: Manifest, { mutwo, flags, parallel, settings }: EngineOptions) => ({
  folder: path.resolve(manifest.folder),
  mutwo,
  words: [path.resolve(manifest.file), ...flags, "--index"],
  parallel,
  settings,
});

/** The job that the engine was handed last for a manifest, as it is asked for it; undefined where there was none. */
export function currentJob(engine: Engine, manifest: Manifest, options: EngineOptions): EngineJob | undefined {
  const last = lastJob(manifest.folder, engine);
  return last && { ...jobOf(manifest, options), ...last };
}

/** Makes a job of points, and writes down that there is one. Throws where nothing can be written. */
export function newJob(
  engine: Engine,
  manifest: Manifest,
  points: readonly Point[],
  options: EngineOptions,
): EngineJob {
  const { pack = Math.ceil(points.length / mostTasks), parallel, seconds } = options;
  if (engine.keepsNoQueue && !parallel)
    throw new Error(`${engine.name} starts all tasks at once: say how many there may be (--jobs N)`);
  const most = engine.keepsNoQueue ? Math.ceil(points.length / (parallel ?? 1)) : Math.max(1, pack);
  const name = `mutwo-${randomUUID().slice(0, 8)}`;
  const tasks = packTasks(points, most);
  const job = { ...jobOf(manifest, options), name, tasks, ...(seconds && { seconds: seconds * most }) };
  mkdirSync(path.join(job.folder, "logs"), { recursive: true });
  appendFileSync(jobsFile(job.folder), `\n${JSON.stringify({ engine: engine.name, name, tasks })}\n`);
  return job;
}

/**
 * Has an engine do all points of a manifest that have no result: waits for the job that it was handed before, hands over
 * what is missing, and again what is missing after that, until every point has a result. Whether a point is done the
 * folder says; the engine says whether tasks are left that may still do some.
 *
 * Throws what the engine says of a first job that it refuses twice, how many points have no result after `retries` more
 * jobs that brought none, and the reason of `signal`; then tasks that were handed over go on.
 */
export async function runOnEngine(engine: Engine, manifest: Manifest, options: EngineOptions): Promise<void> {
  const { retries, signal } = options;
  let job = currentJob(engine, manifest, options);
  let why = job && (await waitFor(engine, job, manifest, options, false));
  for (let [idle, accepted] = [0, job !== undefined]; ; ) {
    const missing = missingPoints(manifest);
    if (missing.length === 0) return;
    if (idle > retries) throw new Error(sayMissing(missing, idle, `${engine.name}: ${why}`));
    if (idle > 0) await pause(Math.min(60_000, 1000 * 2 ** idle), signal);
    if (job) await engine.cancel(job).catch(() => {}); // what it holds back, if anything
    // a point that takes its process with it takes those after it of its task too: few a task, as by default
    job = newJob(engine, manifest, missing, idle > 0 && accepted ? { ...options, pack: undefined } : options);
    try {
      await engine.submit(job);
      accepted = true;
      why = await waitFor(engine, job, manifest, options, true);
    } catch (error) {
      signal?.throwIfAborted();
      if (!accepted && idle > 0) throw error; // twice: it is not there, or does not want it
      why = (error as Error).message;
    }
    idle = missingPoints(manifest).length < missing.length ? 0 : idle + 1;
  }
}

/** Hands over what is missing unless the engine is at it; says how many tasks the engine has now. */
export async function handOver(
  engine: Engine,
  manifest: Manifest,
  options: EngineOptions,
): Promise<{ tasks: number; isNew: boolean }> {
  const last = currentJob(engine, manifest, options);
  const { waiting = 0, running = 0 } = last ? await engine.states(last) : {};
  if (waiting + running > 0) return { tasks: waiting + running, isNew: false };
  const missing = missingPoints(manifest);
  if (missing.length === 0) return { tasks: 0, isNew: true };
  const job = newJob(engine, manifest, missing, options);
  await engine.submit(job);
  return { tasks: job.tasks.length, isNew: true };
}

/** Has an engine forget what it was handed last for a manifest. */
export async function cancelJob(engine: Engine, manifest: Manifest, options: EngineOptions): Promise<void> {
  const last = currentJob(engine, manifest, options);
  if (last) await engine.cancel(last);
}

/**
 * Waits until no task of a job is left that may bring a result, or none is missing; says how tasks ended badly. An engine
 * that has answered, `heard`, may be silent for a while: it is being started again, and no task is handed over twice for it.
 */
async function waitFor(
  engine: Engine,
  job: EngineJob,
  manifest: Manifest,
  { onProgress = () => {}, pollMs = 2000, signal }: EngineOptions,
  heard: boolean,
): Promise<string> {
  const total = manifest.points.length;
  for (let answered = heard ? performance.now() : Number.NEGATIVE_INFINITY; ; ) {
    const done = total - missingPoints(manifest).length;
    if (done === total) return "";
    try {
      const { waiting, running, ended } = await engine.states(job);
      answered = performance.now();
      onProgress(`${running} tasks running, ${waiting} waiting`, done, total);
      if (waiting + running === 0) return sayEnds(ended);
    } catch (error) {
      if (performance.now() - answered > patienceMs) throw error;
      onProgress(`${(error as Error).message}; asking again`, done, total);
    }
    await pause(pollMs, signal);
  }
}

/** Waits a while; throws the reason of `signal`. */
const pause = (ms: number, signal?: AbortSignal): Promise<void> =>
  setTimeout(ms, undefined, { signal }).catch(() => signal?.throwIfAborted());

const sayEnds = (ended: TaskStates["ended"]): string =>
  Object.entries(ended)
    .filter(([, count]) => count > 0)
    .map(([word, count]) => `${count} ${word}`)
    .join(", ") || "no task is left";

const sayMissing = (missing: readonly Point[], idle: number, why: string): string =>
  `${missing.length} points have no result after ${idle} jobs that brought none: --index ${few(missing.map(({ index }) => String(index)))} (${why}; logs/ in the sweep's folder may say more)`;
