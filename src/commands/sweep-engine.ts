import path from "node:path";
import type { Command } from "commander";
import type { EngineOptions } from "../sweep/engine-run.js";
import { countNumber } from "./numbers.js";
import { Interrupted, interruptible } from "./process.js";

/** What `mutwo sweep MANIFEST` is told of the engine that does its points. */
export interface EngineFlags {
  readonly engine?: string;
  readonly engineOption: readonly string[];
  readonly pack?: number;
  /** Tasks at a time. */
  readonly jobs?: number;
  readonly wait: boolean;
  readonly cancel?: boolean;
  readonly devices?: readonly number[];
  readonly retries: number;
  /** The most seconds a point. */
  readonly limit?: number;
}

const collected = (word: string, words: readonly string[]): readonly string[] => [...words, word];

/** Adds the options by which an engine is chosen and told what it needs. */
export const withEngine = (command: Command): Command =>
  command
    .optionsGroup("On an engine:")
    .option(
      "--engine <name>",
      "who does the points: slurm, bullmq, ray or kubernetes (mutwo help NAME); default this machine",
    )
    .option("--engine-option <name=value>", "a setting of the engine; may stand several times", collected, [])
    .option(
      "--pack <n>",
      "points a task, one after another (default: so many that there are 1000 tasks at most)",
      countNumber,
    )
    .option("--no-wait", "hand over what is missing and end; the same command without it waits")
    .option("--cancel", "forget the tasks that wait on the engine, stop those that run");

/**
 * Has an engine do the points of a manifest, and waits for it unless that is not wanted; says whether the points are to be
 * looked at now.
 */
export async function sweepOnEngine(place: string, name: string, flags: EngineFlags): Promise<boolean> {
  const { cancelJob, handOver, runOnEngine } = await import("../sweep/engine-run.js");
  const { engineOf, engineSettings } = await import("../sweep/engines/index.js");
  const { readManifest } = await import("../sweep/manifest.js");
  const { progressBar } = await import("./progress.js");
  const engine = engineOf(name);
  if (flags.devices)
    throw new Error(`--devices is of this machine: ${name} hands out GPUs itself (mutwo help ${name})`);
  const manifest = readManifest(place);
  const { mutwo, ...settings } = engineSettings(engine, flags.engineOption);
  const { pack, jobs: parallel, limit: seconds, retries } = flags;
  const bar = progressBar(process.stderr);
  const options: EngineOptions = {
    ...{ settings, pack, parallel, seconds, retries, flags: taskFlags(flags) },
    mutwo: programOf(mutwo) ?? engine.mutwo ?? ownProgram(),
    onProgress: (note, done, total) => bar.update(`sweep on ${name}`, done, total, { note }),
  };
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  if (flags.cancel) {
    await cancelJob(engine, manifest, options);
    say(`${name}: the tasks of ${manifest.folder} are cancelled; those that run stop after their point`);
  } else if (flags.wait) {
    const signal = interruptible();
    try {
      await runOnEngine(engine, manifest, { ...options, signal });
    } catch (error) {
      if (error instanceof Interrupted)
        say(`${name} goes on; the same command waits for it, and with --cancel ends it`);
      throw error;
    } finally {
      bar.stop();
    }
  } else {
    const { tasks, isNew } = await handOver(engine, manifest, options);
    say(isNew ? `${name}: ${tasks} tasks handed over` : `${name}: ${tasks} tasks are there already`);
  }
  return flags.wait && !flags.cancel;
}

/** What `sweep run` is told in each task. */
const taskFlags = ({ retries, limit }: EngineFlags): string[] => [
  ...["--retries", String(retries)],
  ...(limit ? ["--limit", String(limit)] : []),
];

/** The program that runs now, as another process starts it. */
const ownProgram = (): [string, ...string[]] => [
  process.execPath,
  ...process.execArgv,
  path.resolve(process.argv[1] as string),
];

/** Words of a program with spaces between them. */
const programOf = (text?: string): [string, ...string[]] | undefined => {
  const [program, ...words] = (text ?? "").split(" ").filter(Boolean);
  return program === undefined ? undefined : [program, ...words];
};

interface WorkerFlags extends Pick<EngineFlags, "engineOption"> {
  readonly engine: string;
  readonly jobs: number;
}

/** `mutwo sweep worker`: does the tasks of an engine that has no workers of its own. */
export const sweepWorkerCommand = (sweep: Command): Command =>
  sweep
    .command("worker")
    .description(
      "do tasks of sweeps that others hand over, until Ctrl-C or SIGTERM; as many workers as one likes, anywhere",
    )
    .option("--engine <name>", "where the tasks come from", "bullmq")
    .option("--engine-option <name=value>", "a setting of the engine; may stand several times", collected, [])
    .option("--jobs <n>", "tasks at a time", countNumber, 1)
    .action(work);

async function work({ engine: name, engineOption, jobs: parallel }: WorkerFlags): Promise<void> {
  const { engineOf, engineSettings } = await import("../sweep/engines/index.js");
  const engine = engineOf(name);
  if (!engine.work) throw new Error(`${name} has workers of its own (mutwo help ${name})`);
  const { mutwo, ...settings } = engineSettings(engine, engineOption);
  process.stderr.write(`worker of ${name}, ${parallel} at a time; Ctrl-C ends it after its points\n`);
  await engine.work({ mutwo: programOf(mutwo) ?? ownProgram(), settings, parallel }, interruptible());
}
