import {
  type Backend,
  backendOptions,
  checkBackend,
  type estimateBackend,
  type RuntimeOptions,
  recordingOf,
  refusalOf,
} from "./backends.js";
import { openCpu } from "./cpu.js";
import { readDeviceSpec } from "./device-spec.js";
import { openEstimate } from "./estimate.js";
import { openGpu } from "./gpu/gpu.js";
import { findCudaLibraries, preloadCuda } from "./libraries/cuda-libraries.js";
import { openReplay, readRecording } from "./recording.js";
import type { Runtime } from "./runtime.js";

function openCudaBackend({ device, tf32, deterministic }: RuntimeOptions): Runtime {
  const libraries = findCudaLibraries();
  preloadCuda(libraries);
  const { cudart, cudnn, nvrtc } = libraries;
  return openGpu({ cudart, cudnn, nvrtc, device, tf32, deterministic });
}

const runtimes: Readonly<Record<Backend | typeof estimateBackend, (options: RuntimeOptions) => Runtime>> = {
  cpu: ({ threads }) => openCpu({ threads }),
  cuda: openCudaBackend,
  estimate: ({ deviceSpec = "", ...options }) => openEstimate(readDeviceSpec(deviceSpec), options),
};

/**
 * Opens the runtime of a backend. Throws `unknown backend: …`, `… for the cuda backend: …` for an option that is another
 * backend's, what is wrong with a device's description, or why it cannot be used here. The caller closes it.
 */
export function openRuntime(backend: string, options: RuntimeOptions = {}): Runtime {
  const file = recordingOf(backend);
  if (file !== undefined) return openReplay(readRecording(file));
  checkBackend(backend, options);
  for (const [name, option] of Object.entries(backendOptions)) {
    const value = options[name as keyof RuntimeOptions];
    const refusal = value === undefined ? undefined : refusalOf<never>(backend, option, value as never);
    if (refusal) throw new Error(refusal);
  }
  return runtimes[backend as keyof typeof runtimes](options);
}
