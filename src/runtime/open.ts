import { openCpu } from "./cpu.js";
import { openGpu } from "./gpu/gpu.js";
import { findCudaLibraries, preloadCuda } from "./libraries/cuda-libraries.js";
import { openReplay, readRecording } from "./recording.js";
import type { Runtime } from "./runtime.js";

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
