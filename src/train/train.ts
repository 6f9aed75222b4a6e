import { existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import type { Dataset } from "../data/dataset.js";
import { openData } from "../data/open-data.js";
import type { Plan } from "../plan/plan.js";
import { environment } from "../run/environment.js";
import { checkFileWritable, checkWritable } from "../run/folder.js";
import { checkOptions, problemOf, WrongOptions } from "../run/option-checks.js";
import { commandOf, withDefaults } from "../run/option-forms.js";
import type { OptionsOf } from "../run/options.js";
import type { Profile } from "../run/profile.js";
import { newRunId, type Run } from "../run/run.js";
import { parseColumns, parseScale } from "../run/train-options.js";
import { asksForMany } from "../run/trials.js";
import { trainingChecks } from "../step/training.js";
import { type Checkpoint, checkpointsIn, readCheckpointLog } from "./checkpoint.js";
import { fit } from "./fit.js";
import type { TrainingLog } from "./log.js";
import { checkMetric } from "./metrics.js";
import { openTrainer } from "./open-trainer.js";
import { openJoint } from "./open-trainers.js";
import {
  checkpointFolder,
  coursesOf,
  fitOptions,
  lawOf,
  resumed,
  settingsOf,
  type TrainCourse,
  type TrainModelOptions,
  trainerOptions,
} from "./train-courses.js";
import { eachTogether } from "./train-many.js";
import type { Trainer } from "./trainer.js";
import { bestOf, type DataInfo, type TrainedTrial, type Training, trainingFormatVersion } from "./training.js";

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
    ...(out === undefined
      ? []
      : problemOf(() =>
          asksForMany(options)
            ? checkModelFolders(out, [...sources, ...(options.together ?? [])])
            : existsSync(path.dirname(out))
              ? checkFileWritable("trained model", out, sources)
              : checkWritable(path.dirname(out)),
        )),
    ...(out === undefined || resume !== undefined
      ? []
      : ([checkpointFolder(options), ...modelFolders(checkpointFolder(options))]
          .map((folder) => problemOf(() => checkNoTraining(folder)))
          .find(({ length }) => length > 0) ?? [])),
    ...(asksForMany(options) && resume ? problemOf(() => checkFolder(resume)) : []),
  ];
}

/** Throws where the folders of several trained models could not be made, or hold what these are made of. */
function checkModelFolders(out: string, sources: readonly string[]): void {
  const folder = path.dirname(out);
  const isBelow = (source: string): boolean =>
    path.basename(source) === path.basename(out) &&
    /^m\d+$/.test(path.basename(path.dirname(source))) &&
    path.resolve(source, "..", "..") === path.resolve(folder);
  const source = sources.find(isBelow);
  if (source !== undefined)
    throw new Error(`trained model would overwrite what it is made of: ${source} (name another file)`);
  checkWritable(folder);
}

/** The folders of several models' checkpoints in one. */
const modelFolders = (folder: string): string[] =>
  statSync(folder, { throwIfNoEntry: false })?.isDirectory()
    ? readdirSync(folder)
        .filter((name) => /^m\d+$/.test(name))
        .map((name) => path.join(folder, name))
    : [];

function checkFolder(place: string): void {
  if (!statSync(place, { throwIfNoEntry: false })?.isDirectory())
    throw new Error(`a checkpoint is of one model: ${place} (of several pass the folder with m0, m1, … in it)`);
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
  /** null where nothing was planned, and of several models. */
  readonly run: Run | null;
}

/**
 * Trains a model on data, as `mutwo train` does: plans its step if there is a budget or a planner, trains with
 * checkpoints and validation, and writes the trained model to `options.out`, unless it was interrupted or its loss was not
 * finite (`training.log.end`). With `together`, `copies` or `vary` several models are trained in one step, each as alone, with
 * checkpoints of its own, and written to a folder of its name beside `options.out`; `training.together` has each.
 *
 * Throws `WrongOptions` for options that are missing, wrong or unknown; one line for a model, data or a checkpoint that cannot be
 * read or do not fit each other, and for a step that fails.
 */
export async function trainModel(file: string, options: TrainModelOptions): Promise<TrainedModel> {
  const { onValidation, onWarning, ...known } = options;
  checkOptions("train", known);
  const wrong = wrongTogether(file, options);
  if (wrong.length) throw new WrongOptions(wrong);
  const courses = coursesOf(file, options);
  const resumes = courses.map((course) => resumed(course.options));
  const opened: { close(): void }[] = [];
  try {
    const { trainers, step, run } = await openAll(file, options, courses);
    opened.push(...trainers);
    options.onProgress?.("open data", 0, 1);
    const data = new OpenData(options, opened);
    const models = await Promise.all(
      courses.map(async (course, i) => {
        const trainer = trainers[i] as Trainer;
        try {
          return { ...course, trainer, resume: resumes[i], ...(await data.of(trainer)) };
        } catch (error) {
          const { message } = error as Error;
          throw course.spec
            ? new Error(`${message} (model ${course.spec.name}: ${course.spec.file})`, { cause: error })
            : error;
        }
      }),
    );
    const { allocatedBytes, backend, device } = trainers[0] as Trainer;
    let evaluationBytes = 0;
    const trained = await eachTogether(models, async (model): Promise<TrainedTrial> => {
      const one = await trainOne(model);
      evaluationBytes += model.trainer.evaluationBytes;
      return one;
    });
    const [first] = models as [(typeof models)[number]];
    const together = first.spec && { models: trained, best: bestOf(trained)?.name ?? null };
    const best = trained.find(({ name }) => name === together?.best) ?? (trained[0] as TrainedTrial);
    const goesOn = trained.some(
      ({ log }, i) =>
        log.end?.reason !== "not finite" && checkpointsIn(checkpointFolder((courses[i] as TrainCourse).options)).length,
    );
    const training: Training = {
      format: "mutwo-training",
      version: trainingFormatVersion,
      id: newRunId(file),
      createdAt: new Date().toISOString(),
      command: options.command ?? commandOf("train", file, options),
      // from a checkpoint the same settings come to the same step
      goOn: goesOn ? commandOf("train", file, { ...options, resume: options.resume ?? "" }) : null,
      model: together ? { ...best.model, file: countedFiles(trained) } : best.model,
      out: best.out,
      backend,
      device: device.name,
      environment: environment({ device }),
      data: dataInfo(options.data, first.data),
      validation: first.validation ? dataInfo(options.validate as string, first.validation) : null,
      seed: withDefaults(options).seed,
      settings: { ...(together ? settingsOf(options) : best.settings), ...lawOf(options) },
      step: { allocatedBytes, evaluationBytes, ...step },
      run: run?.id ?? null,
      log: best.log,
      ...(together && { together }),
    };
    return { training, run };
  } finally {
    for (const one of opened.reverse()) one.close();
  }
}

/** The trainers of all models, and what was measured and planned of their step. */
async function openAll(file: string, options: TrainModelOptions, courses: readonly TrainCourse[]) {
  const given = trainerOptions(options);
  const specs = courses.flatMap(({ spec }) => spec ?? []);
  if (!specs.length) {
    const trainer = await openTrainer(file, given);
    const { run } = trainer;
    return { trainers: [trainer], step: stepMemory(run?.before ?? null, run?.plan ?? null), run };
  }
  const joint = await openJoint(specs, { ...given, arrange: options.arrange });
  const { before = null, plan = null } = joint[0]?.planned ?? {};
  return { trainers: joint.map(({ trainer }) => trainer), step: stepMemory(before, plan), run: null };
}

/** What is trained on and validated with, opened once for all models that take the same. */
class OpenData {
  private readonly known = new Map<string, Promise<{ data: Dataset; validation: Dataset | undefined }>>();

  /** What is opened is added to `opened`. */
  constructor(
    private readonly options: TrainModelOptions,
    private readonly opened: { close(): void }[],
  ) {}

  of({ batch }: Trainer): Promise<{ data: Dataset; validation: Dataset | undefined }> {
    const key = JSON.stringify(batch);
    const known = this.known.get(key) ?? this.open(batch);
    this.known.set(key, known);
    return known;
  }

  private async open(batch: Trainer["batch"]) {
    const { data: place, validate: heldBack, columns, scale } = this.options;
    const dataOptions = {
      batch,
      ...(columns === undefined ? {} : { columns: parseColumns(columns) }),
      ...(scale === undefined ? {} : { scale: parseScale(scale) }),
    };
    const data = await openData(place, dataOptions);
    this.opened.push(data);
    const { classes } = data;
    const validation =
      heldBack === undefined ? undefined : await openData(heldBack, { ...dataOptions, ...(classes && { classes }) });
    if (validation) this.opened.push(validation);
    return { data, validation };
  }
}

/** Trains one model to its end, and writes it. */
async function trainOne({
  file,
  options,
  spec,
  trainer,
  data,
  validation,
  resume,
}: TrainCourse & {
  readonly trainer: Trainer;
  readonly data: Dataset;
  readonly validation: Dataset | undefined;
  readonly resume: Checkpoint | undefined;
}): Promise<TrainedTrial> {
  const settings = settingsOf(options);
  const log = await fit(trainer, data, {
    ...fitOptions(options, spec && { name: spec.name, varied: spec.varied }),
    settings,
    ...(validation && { validate: validation }),
    ...(resume && { resume }),
  });
  const { reason, text } = log.end ?? {};
  if (spec && (reason === "patience" || reason === "not finite")) options.onWarning?.(`${spec.name}: ${text}`);
  const isWhole = log.end?.reason !== "interrupted" && log.end?.reason !== "not finite";
  if (isWhole) makeFolder(path.dirname(options.out));
  if (isWhole) trainer.save(options.out, { inference: options.inference ?? false });
  return {
    name: spec?.name ?? "",
    varied: spec?.varied ?? {},
    model: { file: path.basename(file), path: file, sha256: trainer.modelSha256 },
    out: isWhole ? options.out : null,
    seed: withDefaults(options).seed,
    settings,
    log,
  };
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw new Error(`cannot write ${folder} (${(error as NodeJS.ErrnoException).code})`, { cause: error });
  }
}

/** How many of which files: `2 × a.onnx + b.onnx`. */
function countedFiles(models: readonly TrainedTrial[]): string {
  const counts = new Map<string, number>();
  for (const { model } of models) counts.set(model.file, (counts.get(model.file) ?? 0) + 1);
  return [...counts].map(([name, count]) => (count > 1 ? `${count} × ${name}` : name)).join(" + ");
}

const dataInfo = (place: string, { name, count, columns, classes }: Dataset): DataInfo => ({
  path: place,
  name,
  count,
  columns: columns.map(({ name: column, dtype, shape }) => ({ name: column, dtype, shape: [...shape] })),
  classes: classes ? [...classes] : null,
});

const stepMemory = (before: Profile | null, plan: Plan | null) => ({
  unplannedBytes: before?.arenaBytes ?? null,
  plannedBytes: plan?.peakBytes ?? null,
  budgetBytes: plan?.budgetBytes ?? null,
});
