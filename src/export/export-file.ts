import { closeSync, openSync, writeSync } from "node:fs";
import path from "node:path";
import type { Graph } from "../graph/graph.js";
import { inOneLine } from "../graph/message.js";
import { parseName } from "../graph/names.js";
import { savedActivations } from "../memory/activations.js";
import type { Model } from "../model/model.js";
import { encodeOnnx } from "../model/onnx.js";
import type { ExternalPlace } from "../model/onnx-tensor.js";
import { checkModel, readModel } from "../model/read.js";
import { writeSafetensors } from "../model/safetensors.js";
import { rewrite } from "../plan/rewrite.js";
import { checkFileWritable } from "../run/folder.js";
import type { ModelInfo, Run } from "../run/run.js";
import type { Together, TrialOptions } from "../run/together.js";
import { openRuntime } from "../runtime/open.js";
import type { Runtime } from "../runtime/runtime.js";
import { seededGraph } from "../step/initial.js";
import { lower } from "../step/lower.js";
import { together } from "../step/together.js";
import { lossOutput, trainingStep } from "../step/training.js";
import { writeTogether } from "../writing.js";
import { type ExportOptions, exportStep, type StepNames } from "./export.js";

/** How a run is exported. */
export interface ExportRunOptions extends Pick<ExportOptions, "feedState" | "hideShapes" | "exact"> {
  /** Leave the run's plan out. */
  readonly unplanned?: boolean;
  /** The model file, where it is not at the run's path any more. */
  readonly model?: string;
}

/** What was written. */
export interface ExportedStep {
  /** The ONNX file, then those beside it. */
  readonly files: readonly string[];
  /** Activations that the exported step recomputes. */
  readonly recomputed: number;
  readonly names: StepNames;
}

/** Initializers of that many bytes together and more go to a file of their own: one ONNX file ends at 2 GiB. */
const inlineBytes = 2 ** 30;

/** How files beside a model with its data are called, behind the model's own name. */
const dataEndings = [".data", "_data"];

/** External data starts on such boundaries, so that it can be mapped into memory. */
const alignment = 4096;

/** One model of a run: its file as the run has it, and the options that its step is made of. */
type RunModel = TrialOptions & Pick<ModelInfo, "path" | "sha256" | "dims"> & { readonly seed: number };

/** A model's step as plain ONNX has it, built anew from its file. */
function plainStep({ seed, ...model }: RunModel, runtime: Runtime, options: ExportRunOptions): Graph {
  const file = options.model ?? model.path;
  checkModel(file, model.sha256);
  const { dims, batchNorm } = model;
  const { graph } = readModel(file, { dims, runtime, batchNorm, output: lossOutput(model.loss) });
  // not sliced: the update is written out for each parameter
  const prefers = options.exact ? { channelBlock: runtime.channelBlock ?? 1 } : undefined;
  const lowered = lower(trainingStep(graph, model), (node, tensors) => runtime.hasKernel(node, tensors), prefers);
  return seededGraph(lowered, seed);
}

/** The steps of all models of a run as one, each with its own nodes, whatever way they were executed. */
function jointStep({ trials }: Together, runtime: Runtime, options: ExportRunOptions): Graph {
  if (options.model !== undefined && new Set(trials.map(({ sha256 }) => sha256)).size > 1)
    throw new Error(`the run is of several model files: ${options.model} is one (leave --model out)`);
  return together(
    runtime,
    trials.map((trial) => ({ name: trial.name, graph: plainStep(trial, runtime, options) })),
  );
}

/** The step that a run profiled, with its plan or without, built anew from the model file. */
function stepOf(run: Run, options: ExportRunOptions): { graph: Graph; recomputed: number } {
  const { plan, model } = run;
  const planned = plan !== null && !options.unplanned;
  if (planned && !plan.feasible)
    throw new Error(`the run's plan does not fit its budget (--unplanned exports the step without it): ${run.id}`);
  const runtime = openRuntime("cpu");
  try {
    const baseline = run.together
      ? jointStep(run.together, runtime, options)
      : plainStep({ ...model, seed: run.seed }, runtime, options);
    if (!planned) return { graph: baseline, recomputed: 0 };
    // on a GPU the step is fused, which leaves other activations than the plain step has
    const saved = savedActivations(baseline);
    // and holds some images with their axes in two orders, of which the plain step has one
    const decisions = plan.decisions.filter(
      ({ activation }) => saved.has(activation) || parseName(activation).order === undefined,
    );
    const foreign = decisions.find(({ activation }) => !saved.has(activation));
    if (foreign)
      throw new Error(
        `the plan is for ${run.together?.executed === "fused" ? "models fused into one" : `a step fused for ${run.before.backend}`}, plain ONNX has no activation ${foreign.activation} (--unplanned exports the step without the plan): ${run.id}`,
      );
    const recomputed = decisions.filter(({ action }) => action === "recompute").length;
    return { graph: rewrite(baseline, decisions), recomputed };
  } finally {
    runtime.close();
  }
}

/**
 * Writes the training step of a run as a plain ONNX file, built anew from the model file; `exportStep` says what it
 * takes and gives. Of a run of several models the file holds each one's own step, names with its name before them
 * (`m3/fc.weight`). Data of 1 GiB and more goes to `FILE.data` beside it; with `feedState` the first values of the state
 * go to `FILE.safetensors`. All files appear complete or not at all.
 *
 * Throws one line if a model file is missing or has changed since the run, if the plan is infeasible, or if the files
 * cannot be written.
 */
export function exportRun(run: Run, file: string, options: ExportRunOptions = {}): ExportedStep {
  try {
    return exportChecked(run, file, options);
  } catch (error) {
    throw inOneLine(error);
  }
}

function exportChecked(run: Run, file: string, options: ExportRunOptions): ExportedStep {
  const given = options.model ?? run.model.path;
  const sources = [given, ...dataEndings.map((ending) => given + ending)];
  for (const ending of ["", ".data", ...(options.feedState ? [".safetensors"] : [])])
    checkFileWritable("output file", file + ending, sources);
  const { graph, recomputed } = stepOf(run, options);
  const { loss, optimizer, sha256 } = run.model;
  const { model, names } = exportStep(graph, {
    producer: `mutwo ${run.environment.mutwo}`,
    metadata: { "mutwo.run": run.id, "mutwo.model": sha256, "mutwo.loss": loss, "mutwo.optimizer": optimizer },
    feedState: options.feedState,
    hideShapes: options.hideShapes,
    exact: options.exact,
  });
  let endings: readonly string[] = [];
  writeTogether(file, (place) => {
    endings = writeOnnx(model, place(file), place(`${file}.data`), path.basename(`${file}.data`));
    if (!options.feedState || names.values.size === 0) return;
    writeSafetensors(place(`${file}.safetensors`), names.values);
    endings = [...endings, ".safetensors"];
  });
  const files = endings.map((ending) => file + ending);
  return { files, recomputed, names };
}

/** Writes a model, and its data to a file of its own if it is large. Returns the endings of the files' names. */
export function writeOnnx(
  model: Model,
  file: string,
  dataFile: string,
  location: string,
  largest = inlineBytes,
): string[] {
  const total = [...model.initializers.values()].reduce((sum, { data }) => sum + data.length, 0);
  const places = new Map<string, ExternalPlace>();
  if (total >= largest) {
    const handle = openSync(dataFile, "w");
    try {
      let offset = 0;
      for (const [name, { data }] of model.initializers) {
        // what shapes depend on stays inside: readers need it before they look for the data
        if (data.length < 1024) continue;
        places.set(name, { location, offset });
        for (let done = 0; done < data.length; )
          done += writeSync(handle, data, done, Math.min(data.length - done, 2 ** 30), offset + done);
        offset = Math.ceil((offset + data.length) / alignment) * alignment;
      }
    } finally {
      closeSync(handle);
    }
  }
  const handle = openSync(file, "w");
  try {
    const bytes = encodeOnnx(model, places);
    for (let done = 0; done < bytes.length; )
      done += writeSync(handle, bytes, done, Math.min(bytes.length - done, 2 ** 30), done);
  } finally {
    closeSync(handle);
  }
  return places.size ? ["", ".data"] : [""];
}
