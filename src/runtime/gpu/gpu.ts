import { kernelFinder } from "../kernel-cache.js";
import { cudaVersion } from "../libraries/cuda-facts.js";
import { ortVersion } from "../ort-api.js";
import type { Device, Runtime } from "../runtime.js";
import { Compiler } from "./compiler.js";
import type { Gpu, LaneOptions } from "./context.js";
import { isPlannable } from "./convolution-search.js";
import { type Cuda, openCuda } from "./cuda.js";
import { LanePool } from "./lanes.js";
import { layoutGains } from "./layout-gains.js";
import { loadOnGpu } from "./load.js";
import { kernelLookup } from "./lookup.js";
import { Releases } from "./releases.js";
import { mostShared } from "./source/attention.js";

export interface GpuOptions {
  /** Paths of the libraries of CUDA's runtime and of cuDNN. */
  readonly cudart: string;
  readonly cudnn: string;
  /** Path of NVRTC's; without it nothing is fused, and reductions and batch norms take ONNX Runtime's slower kernels. */
  readonly nvrtc?: string | undefined;
  /** Which GPU, default 0. */
  readonly device?: number;
  /** Matrix products and convolutions may round their inputs to TF32; default true, as PyTorch users expect. */
  readonly tf32?: boolean;
  /** Only kernels that give the same bits each time; default false. */
  readonly deterministic?: boolean;
}

/** 91002 is 9.10.2. */
const cudnnVersionOf = (number: number): string =>
  `${Math.floor(number / 10000)}.${Math.floor((number % 10000) / 100)}.${number % 100}`;

/** Opens a GPU. Throws `no CUDA device …` or what the library that is missing says. */
export function openGpu(options: GpuOptions): Runtime {
  const cuda = openCuda(options.cudart, options.device ?? 0);
  const releases = new Releases();
  try {
    return runtimeOn(partsOf(cuda, options, releases), releases);
  } catch (error) {
    releases.close();
    throw error;
  }
}

const runtimeOn = (gpu: Gpu, releases: Releases): Runtime => ({
  backend: "cuda",
  fuses: gpu.compiles,
  layoutGains: layoutGains(gpu.tf32),
  device: deviceOf(gpu),
  hasKernel: kernelLookup(gpu, kernelFinder(gpu.kernels)),
  load: (graph, layout) => loadOnGpu(graph, layout, gpu),
  freeBytes: () => gpu.cuda.freeBytes(),
  processBytes: () => gpu.cuda.processBytes(),
  peakProcessBytes: () => gpu.cuda.peakBytes(),
  ...(gpu.deterministic ? {} : { deterministic: () => deterministicOn(gpu) }),
  close: () => releases.close(),
});

/** The same GPU, with sessions of its own and no choice made yet: other kernels are used. */
function deterministicOn(gpu: Gpu): Runtime {
  const releases = new Releases();
  const options = { ...gpu.laneOptions, deterministic: true };
  const lanes = new LanePool(options, releases, gpu);
  return runtimeOn({ ...gpu, ...sharedOf(lanes, options, gpu.contextBytes), chosen: new Map() }, releases);
}

/** Streams, libraries and ONNX Runtime's session; all that is taken is given back with `releases`. */
function partsOf(cuda: Cuda, options: GpuOptions, releases: Releases): Gpu {
  const scratch = cuda.malloc(8);
  releases.add(() => cuda.free(scratch));
  const compiler = options.nvrtc ? new Compiler(options.nvrtc, cuda.capability) : undefined;
  if (compiler) releases.add(() => compiler.close());
  const { tf32 = true, deterministic = false, cudnn: cudnnFile } = options;
  const laneOptions = { cuda, cudnnFile, scratch, tf32, deterministic };
  const lanes = new LanePool(laneOptions, releases);
  const contextBytes = cuda.besideBytes();
  return {
    cuda,
    ...sharedOf(lanes, laneOptions, () => contextBytes),
    found: new Map(),
    chosen: new Map(),
    compiler,
    compiles: compiler !== undefined,
    attends: cuda.capability >= 80 && cuda.sharedBytes >= mostShared,
  };
}

/** What the steps of a runtime share of these lanes, `contextBytes` without those that are opened later. */
function sharedOf(lanes: LanePool, laneOptions: LaneOptions, contextBytes: () => number) {
  const { cuda, tf32, deterministic } = laneOptions;
  const first = lanes.at(0);
  return {
    ...first,
    tf32,
    deterministic,
    isPlannable: plannable({ cuda, cudnn: first.cudnn, tf32 }, deterministic),
    laneOptions,
    lane: (number: number) => lanes.at(number),
    kernelUses: () => lanes.kernelUses,
    contextBytes: () => contextBytes() + lanes.openedBytes,
  };
}

/** Whether there are plans for convolutions whose operands lie on boundaries of 16 bytes; each is looked up once. */
function plannable(gpu: Pick<Gpu, "cuda" | "cudnn" | "tf32">, deterministic: boolean): NonNullable<Gpu["isPlannable"]> {
  const known = new Map<string, boolean>();
  return (unbound) => {
    const spec = { ...unbound, alignment: 16, tf32: gpu.tf32, deterministic };
    const key = JSON.stringify(spec);
    const found = known.get(key) ?? isPlannable(gpu, spec);
    known.set(key, found);
    return found;
  };
}

function deviceOf({ cuda, cudnn, compiler, tf32, deterministic }: Gpu): Device {
  return {
    name: cuda.name,
    threads: cuda.multiprocessors,
    memoryBytes: cuda.totalBytes,
    runtimeVersion: ortVersion(),
    settings: {
      TF32: tf32 ? "on" : "off",
      deterministic: deterministic ? "yes" : "no",
      driver: cudaVersion(cuda.driverVersion),
      CUDA: cudaVersion(cuda.runtimeVersion),
      cuDNN: cudnnVersionOf(cudnn.version),
      NVRTC: compiler?.version ?? "none: nothing is fused",
    },
  };
}
