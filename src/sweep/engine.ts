import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { formatCommand } from "../format.js";

/*
 * What a sweep asks of an engine of others. An engine is handed tasks, each a command that does some points of a manifest
 * and passes over those that have results: a task may start twice, at the same time too, and die at any moment, and no
 * point is lost or counted twice. Which points are missing the folder says, never an engine (`engine-run.ts`).
 */

/** Points of a manifest as tasks of an engine. */
export interface EngineJob {
  /** Lower-case letters, digits and hyphens, at most 40; no other job of this folder or another has it. */
  readonly name: string;
  /** The folder of the sweep, absolute; `logs/` in it is there, for what tasks print. */
  readonly folder: string;
  /** The program where tasks run: `node cli.js`. */
  readonly mutwo: readonly [string, ...string[]];
  /** What follows `mutwo sweep run` in each task's command, before its points: `MANIFEST --index`. */
  readonly words: readonly string[];
  /** A task an entry: the numbers of its points as `sweep run --index` takes them, `0-9,12`. */
  readonly tasks: readonly string[];
  /** How many tasks may run at a time; undefined: as many as the engine likes. */
  readonly parallel?: number | undefined;
  /** The most seconds that a task takes; undefined: nobody knows. */
  readonly seconds?: number | undefined;
  /** What `--engine-option NAME=VALUE` gave. */
  readonly settings: Readonly<Record<string, string>>;
}

/** What became of a job's tasks; those that ended badly are counted by the engine's own word for it. */
export interface TaskStates {
  readonly waiting: number;
  readonly running: number;
  readonly ended: Readonly<Record<string, number>>;
}

/**
 * A batch system, a queue or a cluster that runs tasks. Its functions throw one line that says what to do where the engine
 * does not answer or refuses. Between two calls nothing is kept but what the engine itself keeps by the job's name: another
 * process asks on.
 */
export interface Engine {
  readonly name: string;
  /** Its settings and what each is for; with `*` any other is taken too. */
  readonly settings: Readonly<Record<string, string>>;
  /** `EngineJob.mutwo` unless the setting `mutwo` says it; default the program that runs now. */
  readonly mutwo?: readonly [string, ...string[]];
  /** Whether tasks that wait are no use to it: it is handed `parallel` tasks at most, of as many points as it takes. */
  readonly keepsNoQueue?: boolean;
  /** Hands all tasks over. Where it throws, some may have been. */
  submit(job: EngineJob): Promise<void>;
  /** Counts the tasks by state: none of them where the engine knows no job of that name, or no more. */
  states(job: EngineJob): Promise<TaskStates>;
  /** Forgets the tasks that wait; asks those that run to stop (SIGTERM) where it can. */
  cancel(job: EngineJob): Promise<void>;
  /** Does tasks, `parallel` at a time, until it is told to stop: where an engine has no workers of its own. */
  work?(worker: EngineWorker, signal: AbortSignal): Promise<void>;
}

/** What a worker does tasks with. */
export type EngineWorker = Pick<EngineJob, "mutwo" | "settings"> & { readonly parallel: number };

/** The command of a job's tasks, which their points follow. */
export const taskCommand = ({ mutwo, words }: Pick<EngineJob, "mutwo" | "words">): [string, ...string[]] => [
  ...mutwo,
  ...["sweep", "run", ...words],
];

/** Commands of a shell that does one of the tasks given to it as words: the one whose number, from 0, a variable holds. */
export const pickTask = (job: EngineJob, variable: string): string =>
  `shift "$${variable}"; exec ${formatCommand(taskCommand(job))} "$1"`;

/** Whether a task has done all that it can: its points have results (0), some of which say what failed for good (1). */
export const isOver = (status: unknown): boolean => status === 0 || status === 1;

/**
 * Does a task in a process of its own, which is asked to stop (SIGTERM) where the worker is; returns its exit status, or
 * the signal that it died of. Throws where it cannot be started.
 */
export async function doTask([program, ...words]: [string, ...string[]], stop: AbortSignal): Promise<number | string> {
  const child = spawn(program, words, { stdio: ["ignore", "inherit", "inherit"] });
  const ask = (): void => void child.kill("SIGTERM");
  stop.addEventListener("abort", ask);
  try {
    const [status, signal] = (await once(child, "exit")) as [number | null, string];
    return status ?? signal;
  } finally {
    stop.removeEventListener("abort", ask);
  }
}

/**
 * Counts tasks by an engine's words for their states, a line each, of which the first word counts; one that is of none of
 * the three kinds is a bad end.
 */
export function countStates(text: string, kinds: Readonly<Record<"waiting" | "running" | "done", RegExp>>): TaskStates {
  const counts = { waiting: 0, running: 0, ended: {} as Record<string, number> };
  for (const [word] of text.matchAll(/^\S+/gm))
    if (kinds.waiting.test(word)) counts.waiting++;
    else if (kinds.running.test(word)) counts.running++;
    else if (!kinds.done.test(word)) counts.ended[word] = (counts.ended[word] ?? 0) + 1;
  return counts;
}

/** What a program prints, given what it reads. Throws `PROGRAM: its last line`, or that it is not installed. */
export const call = (program: string, words: readonly string[], input = ""): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = execFile(program, words, { maxBuffer: 2 ** 28, timeout: 120_000 }, (error, stdout, stderr) => {
      if (!error) return resolve(stdout);
      const said = stderr.trim().split("\n").at(-1) || `ended with ${error.code ?? error.signal}`;
      const why = error.code === "ENOENT" ? "is not installed here" : `: ${said.replace(`${program}: `, "")}`;
      reject(new Error(`${program}${why.startsWith(":") ? "" : " "}${why}`.slice(0, 300), { cause: error }));
    });
    child.stdin?.on("error", () => {}); // it ended without reading all: what it printed says why
    child.stdin?.end(input);
  });
