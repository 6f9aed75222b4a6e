import path from "node:path";
import { withDefaults } from "../run/option-forms.js";
import { type OptionsOf, optionsOf } from "../run/options.js";
import { parseCheckpointEvery } from "../run/train-options.js";
import { asksForMany, severalTrialsOf, type TrialSpec } from "../run/trials.js";
import { type Checkpoint, findCheckpoint } from "./checkpoint.js";
import type { FitOptions, StepNews } from "./fit-options.js";
import type { EpochRow } from "./log.js";
import type { TrainerOptions } from "./trainer.js";

/** Which one of several models something is told of. */
export interface ModelLabel extends Pick<TrialSpec, "name" | "varied"> {}

/** What `trainModel` takes: the options of `mutwo train`, and what a program that calls it hands over. */
export interface TrainModelOptions extends OptionsOf<"train">, Pick<FitOptions, "signal" | "onWarning"> {
  /** How the training is made again, for the report. */
  readonly command?: string;
  /** Called when a stage before the training begins, and after each of its parts. */
  readonly onProgress?: (stage: string, done: number, total: number) => void;
  /** Called after each step; of several models for each, with its name. */
  readonly onStep?: (news: StepNews, model?: ModelLabel) => void;
  /** Called with the row of each epoch that is done, its validation included; of several models for each. */
  readonly onEpoch?: (row: EpochRow, model?: ModelLabel) => void;
  /** Called while the validation data is evaluated; of several models for each. */
  readonly onValidation?: (done: number, total: number, model?: ModelLabel) => void;
}

/** One model of a training: the only one, or one of several with the options that it has as if alone. */
export interface TrainCourse {
  readonly file: string;
  readonly options: TrainModelOptions;
  readonly spec?: TrialSpec;
}

/** Where the checkpoints of a training go. */
export const checkpointFolder = ({ checkpoints, out }: Pick<OptionsOf<"train">, "checkpoints" | "out">): string =>
  checkpoints ?? `${out.replace(/\.onnx$/, "")}.checkpoints`;

/** The models that options ask for, each with its own. Throws what `trialsOf` throws. */
export function coursesOf(file: string, options: TrainModelOptions): TrainCourse[] {
  const { together: _, copies: _copies, vary: _vary, arrange: _arrange, ...shared } = options;
  if (!asksForMany(options)) return [{ file, options: shared }];
  return severalTrialsOf(file, withDefaults(options)).map((spec) => {
    const { name, seed } = spec;
    const own = {
      ...spec.options,
      seed,
      out: path.join(path.dirname(options.out), name, path.basename(options.out)),
      checkpoints: path.join(checkpointFolder(options), name),
      ...(options.resume ? { resume: path.join(options.resume, name) } : {}),
    };
    return { file: spec.file, options: { ...shared, ...own }, spec };
  });
}

/** Where the training goes on; undefined where it begins. */
export function resumed(options: TrainModelOptions): Checkpoint | undefined {
  if (options.resume === undefined) return undefined;
  const place = options.resume || checkpointFolder(options);
  const say = options.onWarning ?? (() => {});
  const found = findCheckpoint(place, say);
  if (found) say(`goes on after step ${found.log.steps}: ${found.file}`);
  else if (options.resume !== "") throw new Error(`no checkpoint: ${place}`);
  else say(`no checkpoint to go on from: ${place}; the training begins`);
  return found;
}

/** The options that `openTrainer` takes. */
export function trainerOptions(options: TrainModelOptions): TrainerOptions {
  const names = optionsOf("trainer").map(([name]) => name as string);
  const given = Object.entries(options).filter(([name, value]) => names.includes(name) && value !== undefined);
  const { signal, onProgress } = options;
  return { ...Object.fromEntries(given), ...(signal && { signal }), ...(onProgress && { onProgress }) } as never;
}

export function fitOptions(options: TrainModelOptions, model?: ModelLabel): FitOptions {
  const { epochs, steps, loss, metrics, patience, signal, onStep, onEpoch, onValidation, onWarning } = options;
  const { schedule, seed, last, monitor, checkpointEvery, keepCheckpoints } = withDefaults(options);
  const { steps: everySteps, epoch: everyEpoch } = parseCheckpointEvery(checkpointEvery);
  const given = { epochs, steps, metrics, patience, signal, onWarning };
  return {
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    ...(onStep && { onStep: (news) => onStep(news, model) }),
    ...(onEpoch && { onEpoch: (row) => onEpoch(row, model) }),
    ...(onValidation && { onValidation: (done, total) => onValidation(done, total, model) }),
    schedule,
    seed,
    last,
    loss,
    monitor,
    checkpoints: { folder: checkpointFolder(options), everySteps, everyEpoch, keep: keepCheckpoints },
  };
}

/** What decides a training's numbers of the options of its step, in words by name. */
export const settingsOf = (options: TrainModelOptions): Record<string, string> =>
  Object.fromEntries(
    optionsOf("trainer").flatMap(([name, { model, kind }]) => {
      const value = (options as unknown as Record<string, unknown>)[name];
      const said = model && value !== undefined ? kind.say(value) : "";
      return said ? [[name, said]] : [];
    }),
  );

/** How the training goes beside what its step is, in words by name. */
export function lawOf(options: TrainModelOptions): Record<string, string> {
  const { schedule, last, monitor, patience } = withDefaults(options);
  const law = { schedule, "last samples": last, ...(options.validate === undefined ? {} : { monitor }) };
  return patience === undefined ? law : { ...law, patience: `${patience} epochs` };
}
