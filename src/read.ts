import { type BatchNormMode, bindModel } from "./fold.js";
import type { Graph } from "./graph.js";
import { type Model, openOnnx } from "./onnx.js";
import { type CpuRuntime, openCpu } from "./runtime/cpu.js";
import { findCudaLibraries, preloadCuda } from "./runtime/cuda-libraries.js";
import { openGpu } from "./runtime/gpu.js";
import { openReplay, readRecording } from "./runtime/recording.js";
import type { Runtime } from "./runtime/runtime.js";

export interface RuntimeOptions {
  /** Threads of the CPU's kernels; default all cores. */
  readonly threads?: number;
  /** Which GPU; default 0. */
  readonly device?: number;
  /** Whether matrix products and convolutions on a GPU may round their inputs to TF32; default true. */
  readonly tf32?: boolean;
  /** Only kernels that give the same bits each time; default false. On the CPU all are. */
  readonly deterministic?: boolean;
}

/** Throws `--… is for the cuda backend` for options that the CPU does not have. */
function openCpuBackend(options: RuntimeOptions): Runtime {
  if (options.device !== undefined) throw new Error(`a device is for the cuda backend: ${options.device}`);
  if (options.tf32 === false) throw new Error("TF32 is for the cuda backend: no TF32");
  return openCpu(options.threads === undefined ? {} : { threads: options.threads });
}

function openCudaBackend(options: RuntimeOptions): Runtime {
  if (options.threads !== undefined) throw new Error(`threads are for the cpu backend: ${options.threads}`);
  const { threads: _, ...rest } = options;
  const libraries = findCudaLibraries();
  preloadCuda(libraries);
  const { cudart, cudnn, nvrtc } = libraries;
  return openGpu({ cudart, cudnn, nvrtc, ...rest });
}

const runtimes: Readonly<Record<string, (options: RuntimeOptions) => Runtime>> = {
  cpu: openCpuBackend,
  cuda: openCudaBackend,
};

/** `replay:FILE` answers from a recording. */
const replayPrefix = "replay:";

/**
 * Opens the runtime of a backend. Throws `unknown backend: …`, or why it cannot be used here. The caller closes it.
 */
export function openRuntime(backend: string, options: RuntimeOptions = {}): Runtime {
  if (backend.startsWith(replayPrefix)) return openReplay(readRecording(backend.slice(replayPrefix.length)));
  const open = runtimes[backend];
  if (!open) throw new Error(`unknown backend: ${backend} (one of ${Object.keys(runtimes).join(", ")}, replay:FILE)`);
  return open(options);
}

/** A model file with its dimensions bound: its forward pass, and what the file says of itself. */
export interface BoundModel {
  readonly graph: Graph;
  readonly model: Model;
  /** Things that the reader noticed and a user should know. */
  readonly notes: readonly string[];
}

/** Whether a runtime can evaluate single nodes on host values. */
const canEvaluate = (runtime: Runtime | undefined): runtime is CpuRuntime => runtime?.backend === "cpu";

/**
 * Reads an ONNX file as a forward graph with fixed shapes. `dims` binds its symbolic dimensions; constants are folded on
 * the CPU, by `runtime` if it is the CPU's; `batchNorm` sets the mode of all batch norms, whatever the file says. Throws
 * one line for anything that is wrong with the file or the dimensions.
 */
export function readModel(
  file: string,
  options: { dims?: Readonly<Record<string, number>>; runtime?: Runtime; batchNorm?: BatchNormMode } = {},
): BoundModel {
  const model = openOnnx(file);
  const own = canEvaluate(options.runtime) ? undefined : openCpu();
  const runtime = own ?? (options.runtime as CpuRuntime);
  try {
    const { graph, notes } = bindModel(model, {
      dims: options.dims ?? {},
      ...(options.batchNorm ? { batchNorm: options.batchNorm } : {}),
      evaluate: (node, inputs) => runtime.evaluate(node, inputs),
    });
    return { graph, model, notes };
  } finally {
    own?.close();
  }
}
