import { kernelFinder } from "../kernel-cache.js";
import { cudaVersion } from "../libraries/cuda-facts.js";
import { type Kernels, openKernels } from "../ort.js";
import { ortVersion } from "../ort-api.js";
import type { Device, Runtime } from "../runtime.js";
import { Compiler } from "./compiler.js";
import type { Gpu } from "./context.js";
import { isPlannable } from "./convolution-search.js";
import { type Cuda, openCuda } from "./cuda.js";
import { Cudnn } from "./cudnn.js";
import { layoutGains } from "./layout-gains.js";
import { loadOnGpu } from "./load.js";
import { kernelLookup } from "./lookup.js";
import { Releases } from "./releases.js";
import { mostShared } from "./source/attention.js";
import { Workspace } from "./workspace.js";

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

/** The same GPU, with a session of its own and no choice made yet: other kernels are used. */
function deterministicOn(gpu: Gpu): Runtime {
  const releases = new Releases();
  const kernels = sessionOn({ ...gpu, deterministic: true });
  releases.add(() => kernels.close());
  return runtimeOn(
    { ...gpu, ...counted(kernels), chosen: new Map(), deterministic: true, isPlannable: plannable(gpu, true) },
    releases,
  );
}

/** Streams, libraries and ONNX Runtime's session; all that is taken is given back with `releases`. */
function partsOf(cuda: Cuda, options: GpuOptions, releases: Releases): Gpu {
  const settings = { tf32: options.tf32 ?? true, deterministic: options.deterministic ?? false };
  const stream = cuda.stream();
  releases.add(() => cuda.destroyStream(stream));
  const copyStreams = { out: cuda.stream(), in: cuda.stream() };
  for (const one of Object.values(copyStreams)) releases.add(() => cuda.destroyStream(one));
  const scratch = cuda.malloc(8);
  releases.add(() => cuda.free(scratch));
  const workspace = new Workspace(cuda);
  releases.add(() => workspace.close());
  const cudnn = new Cudnn(options.cudnn, stream);
  releases.add(() => cudnn.close());
  const compiler = options.nvrtc ? new Compiler(options.nvrtc, cuda.capability) : undefined;
  if (compiler) releases.add(() => compiler.close());
  const kernels = sessionOn({ cuda, stream, workspace, scratch, ...settings });
  releases.add(() => kernels.close());
  return {
    cuda,
    cudnn,
    ...counted(kernels),
    stream,
    copyStreams,
    scratch,
    workspace,
    convolutions: new Map(),
    chosen: new Map(),
    ...settings,
    isPlannable: plannable({ cuda, cudnn, tf32: settings.tf32 }, settings.deterministic),
    compiler,
    compiles: compiler !== undefined,
    attends: cuda.capability >= 80 && cuda.sharedBytes >= mostShared,
    contextBytes: cuda.besideBytes(),
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
/** ONNX Runtime's session, whose kernels run in the GPU's stream and take what they need from its workspace. */
const sessionOn = ({
  cuda,
  stream,
  workspace,
  scratch,
  tf32,
  deterministic,
}: Pick<Gpu, "cuda" | "stream" | "workspace" | "scratch" | "tf32" | "deterministic">): Kernels =>
  openKernels({
    threads: 1,
    cuda: {
      device: cuda.device,
      stream,
      tf32,
      deterministic,
      allocate: (bytes) => workspace.take(bytes),
      free: (memory) => workspace.giveBack(memory),
      wait: () => cuda.wait(stream),
      scratch,
    },
  });

/** The same kernels, and how often they were called or captured. */
function counted(kernels: Kernels): Pick<Gpu, "kernels" | "kernelUses"> {
  let uses = 0;
  return {
    kernels: {
      createOp: (request) => kernels.createOp(request),
      releaseOp: (op) => kernels.releaseOp(op),
      createValue: (address, bytes, type, place) => kernels.createValue(address, bytes, type, place),
      releaseValue: (value) => kernels.releaseValue(value),
      within(work) {
        uses++;
        return kernels.within(work);
      },
      allocations: () => kernels.allocations(),
      close: () => kernels.close(),
    },
    kernelUses: () => uses,
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
