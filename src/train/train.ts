import path from "node:path";
import type { Dataset } from "../data/dataset.js";
import { openData } from "../data/open-data.js";
import { environment } from "../run/environment.js";
import { checkFileWritable } from "../run/folder.js";
import { checkOptions, problemOf, WrongOptions } from "../run/option-checks.js";
import { commandOf, withDefaults } from "../run/option-forms.js";
import { type OptionsOf, optionsOf } from "../run/options.js";
import { newRunId, type Run } from "../run/run.js";
import { parseCheckpointEvery, parseColumns, parseScale } from "../run/train-options.js";
import { trainingChecks } from "../step/training.js";
import { type Checkpoint, checkpointsIn, findCheckpoint, readCheckpointLog } from "./checkpoint.js";
import { fit } from "./fit.js";
import type { FitOptions } from "./fit-options.js";
import type { TrainingLog } from "./log.js";
import { checkMetric } from "./metrics.js";
import { openTrainer } from "./open-trainer.js";
import type { Trainer, TrainerOptions } from "./trainer.js";
import { type DataInfo, type Training, trainingFormatVersion } from "./training.js";

/** What `trainModel` takes: the options of `mutwo train`, and what a program that calls it hands over. */
export interface TrainModelOptions
  extends OptionsOf<"train">,
    Pick<FitOptions, "signal" | "onStep" | "onEpoch" | "onValidation" | "onWarning"> {
  /** How the training is made again, for the report. */
  readonly command?: string;
  /** Called when a stage before the training begins, and after each of its parts. */
  readonly onProgress?: (stage: string, done: number, total: number) => void;
}

/** Where the checkpoints of a training go. */
export const checkpointFolder = ({ checkpoints, out }: Pick<OptionsOf<"train">, "checkpoints" | "out">): string =>
  checkpoints ?? `${out.replace(/\.onnx$/, "")}.checkpoints`;

/** What is wrong with options beside each other or with the model, a line each, as far as can be said before anything is read. */
export function wrongTogether(file: string, options: OptionsOf<"train">): string[] {
  const { backend = "cpu", epochs, steps, metrics = [], monitor, loss, out, data, validate, resume } = options;
  const isLoss = loss !== undefined && problemOf(() => trainingChecks.loss(loss)).length === 0;
  const named = [...metrics, ...(monitor === undefined ? [] : [monitor])];
  const sources = [file, data, validate].filter((one): one is string => one !== undefined);
  return [
    ...(["cpu", "cuda"].includes(backend) ? [] : [`training runs on cpu or cuda: ${backend}`]),
    ...(epochs === undefined && steps === undefined
      ? ["how long to train is not said: none (pass --epochs 5 or --steps 1000)"]
      : []),
    ...named.flatMap((name) => problemOf(() => checkMetric(name, isLoss ? loss : undefined))),
    ...(out === undefined ? [] : problemOf(() => checkFileWritable("trained model", out, sources))),
    ...(out === undefined || resume !== undefined ? [] : problemOf(() => checkNoTraining(checkpointFolder(options)))),
  ];
}

/** Throws where a folder holds the checkpoints of a training that has not ended: they would be lost. */
function checkNoTraining(folder: string): void {
  const [newest] = checkpointsIn(folder);
  if (newest === undefined) return;
  let log: TrainingLog | undefined;
  try {
    log = readCheckpointLog(newest);
  } catch {} // a broken one may be all that there is
  if (log?.end && log.end.reason !== "interrupted") return;
  throw new Error(
    `checkpoints of a training that has not ended: ${folder} (pass --resume to go on, --checkpoints for another folder, or remove it)`,
  );
}

/** The trained model's record, and the run that measured and planned its step. */
export interface TrainedModel {
  readonly training: Training;
  /** null where nothing was planned. */
  readonly run: Run | null;
}

/**
 * Trains a model on data, as `mutwo train` does: plans its step if there is a budget or a planner, trains with
 * checkpoints and validation, and writes the trained model to `options.out`, unless it was interrupted or its loss was not
 * finite (`training.log.end`). Throws `WrongOptions` for options that are missing, wrong or unknown; one line for a model,
 * data or a checkpoint that cannot be read or do not fit each other, and for a step that fails.
 */
export async function trainModel(file: string, options: TrainModelOptions): Promise<TrainedModel> {
  const { onValidation, onWarning, ...known } = options;
  checkOptions("train", known);
  const wrong = wrongTogether(file, options);
  if (wrong.length) throw new WrongOptions(wrong);
  const { data: place, validate: heldBack, seed } = withDefaults(options);
  const resume = resumed(options);
  const opened: { close(): void }[] = [];
  try {
    const trainer = await openTrainer(file, trainerOptions(options));
    opened.push(trainer);
    options.onProgress?.("open data", 0, 1);
    const dataOptions = {
      batch: trainer.batch,
      ...(options.columns === undefined ? {} : { columns: parseColumns(options.columns) }),
      ...(options.scale === undefined ? {} : { scale: parseScale(options.scale) }),
    };
    const data = await openData(place, dataOptions);
    opened.push(data);
    const { classes } = data;
    const validation =
      heldBack === undefined ? undefined : await openData(heldBack, { ...dataOptions, ...(classes && { classes }) });
    if (validation) opened.push(validation);
    const settings = settingsOf(options);
    const log = await fit(trainer, data, {
      ...fitOptions(options),
      settings,
      ...(validation && { validate: validation }),
      ...(resume && { resume }),
    });
    const isWhole = log.end?.reason !== "interrupted" && log.end?.reason !== "not finite";
    if (isWhole) trainer.save(options.out, { inference: options.inference ?? false });
    const folder = checkpointFolder(options);
    const training: Training = {
      format: "mutwo-training",
      version: trainingFormatVersion,
      id: newRunId(file),
      createdAt: new Date().toISOString(),
      command: options.command ?? commandOf("train", file, options),
      // from a checkpoint the same settings come to the same step
      goOn:
        log.end?.reason !== "not finite" && checkpointsIn(folder).length
          ? commandOf("train", file, { ...options, resume: options.resume ?? "" })
          : null,
      model: { file: path.basename(file), path: file, sha256: trainer.modelSha256 },
      out: isWhole ? options.out : null,
      backend: trainer.backend,
      device: trainer.device.name,
      environment: environment({ device: trainer.device }),
      data: dataInfo(place, data),
      validation: validation ? dataInfo(heldBack as string, validation) : null,
      seed,
      settings: { ...settings, ...lawOf(options) },
      step: stepMemory(trainer),
      run: trainer.run?.id ?? null,
      log,
    };
    return { training, run: trainer.run };
  } finally {
    for (const one of opened.reverse()) one.close();
  }
}

/** Where the training goes on; undefined where it begins. */
function resumed(options: TrainModelOptions): Checkpoint | undefined {
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
function trainerOptions(options: TrainModelOptions): TrainerOptions {
  const names = optionsOf("trainer").map(([name]) => name as string);
  const given = Object.entries(options).filter(([name, value]) => names.includes(name) && value !== undefined);
  const { signal, onProgress } = options;
  return { ...Object.fromEntries(given), ...(signal && { signal }), ...(onProgress && { onProgress }) } as never;
}

function fitOptions(options: TrainModelOptions): FitOptions {
  const { epochs, steps, loss, metrics, patience, signal, onStep, onEpoch, onValidation, onWarning } = options;
  const { schedule, seed, last, monitor, checkpointEvery, keepCheckpoints } = withDefaults(options);
  const { steps: everySteps, epoch: everyEpoch } = parseCheckpointEvery(checkpointEvery);
  const given = { epochs, steps, metrics, patience, signal, onStep, onEpoch, onValidation, onWarning };
  return {
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    schedule,
    seed,
    last,
    loss,
    monitor,
    checkpoints: { folder: checkpointFolder(options), everySteps, everyEpoch, keep: keepCheckpoints },
  };
}

/** What decides a training's numbers of the options of its step, in words by name. */
const settingsOf = (options: TrainModelOptions): Record<string, string> =>
  Object.fromEntries(
    optionsOf("trainer").flatMap(([name, { model, kind }]) => {
      const value = (options as unknown as Record<string, unknown>)[name];
      return model && value !== undefined ? [[name, kind.say(value)]] : [];
    }),
  );

/** How the training goes beside what its step is, in words by name. */
function lawOf(options: TrainModelOptions): Record<string, string> {
  const { schedule, last, monitor, patience } = withDefaults(options);
  const law = { schedule, "last samples": last, ...(options.validate === undefined ? {} : { monitor }) };
  return patience === undefined ? law : { ...law, patience: `${patience} epochs` };
}

const dataInfo = (place: string, { name, count, columns, classes }: Dataset): DataInfo => ({
  path: place,
  name,
  count,
  columns: columns.map(({ name: column, dtype, shape }) => ({ name: column, dtype, shape: [...shape] })),
  classes: classes ? [...classes] : null,
});

function stepMemory({ allocatedBytes, evaluationBytes, run }: Trainer): Training["step"] {
  const unplannedBytes = run?.before.arenaBytes ?? null;
  const plannedBytes = run?.plan?.peakBytes ?? null;
  const budgetBytes = run?.plan?.budgetBytes ?? null;
  return { allocatedBytes, evaluationBytes, unplannedBytes, plannedBytes, budgetBytes };
}
