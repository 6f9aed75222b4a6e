import { opOf } from "../../ops/index.js";
import { kernelKey, requestOf } from "../kernel-key.js";
import { type Kernels, openKernels } from "../ort.js";
import { ortVersion } from "../ort-api.js";
import type { Runtime } from "../runtime.js";
import { openCuda } from "./cuda.js";
import { openCudnn } from "./cudnn.js";
import { runsOwn } from "./nodes.js";
import { openCompiler } from "./nvrtc.js";
import { type Gpu, hostInputs, loadOnGpu } from "./step.js";
import { openWorkspace } from "./workspace.js";

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

/** 13000 is 13.0. */
const versionOf = (number: number): string => `${Math.floor(number / 1000)}.${Math.floor((number % 1000) / 10)}`;

/** 91002 is 9.10.2. */
const cudnnVersionOf = (number: number): string =>
  `${Math.floor(number / 10000)}.${Math.floor((number % 10000) / 100)}.${number % 100}`;

/** Opens a GPU. Throws `no CUDA device …` or what the library that is missing says. */
export function openGpu(options: GpuOptions): Runtime {
  const cuda = openCuda(options.cudart, options.device ?? 0);
  const settings = { tf32: options.tf32 ?? true, deterministic: options.deterministic ?? false };
  const closing: (() => void)[] = [];
  const close = (): void => {
    // after a fault nothing can be freed any more; what failed first is what to report
    for (const one of closing.splice(0).reverse())
      try {
        one();
      } catch {}
  };
  try {
    const stream = cuda.stream();
    closing.push(() => cuda.destroyStream(stream));
    const copyStreams = { out: cuda.stream(), in: cuda.stream() };
    for (const one of Object.values(copyStreams)) closing.push(() => cuda.destroyStream(one));
    const scratch = cuda.malloc(8);
    closing.push(() => cuda.free(scratch));
    const workspace = openWorkspace(cuda);
    closing.push(() => workspace.close());
    const cudnn = openCudnn(options.cudnn, stream);
    closing.push(() => cudnn.close());
    const compiler = options.nvrtc ? openCompiler(options.nvrtc, cuda.capability) : undefined;
    if (compiler) closing.push(() => compiler.close());
    const compiles = compiler !== undefined;
    const kernels = openKernels({
      threads: 1,
      cuda: {
        device: cuda.device,
        stream,
        ...settings,
        allocate: (bytes) => workspace.take(bytes),
        free: (memory) => workspace.giveBack(memory),
        scratch,
      },
    });
    closing.push(() => kernels.close());
    // what the session frees later it frees in a callback of the stream, where CUDA forbids it once the session is gone
    closing.push(() => cuda.wait(stream));
    let uses = 0;
    const counted: Kernels = {
      ...kernels,
      within(work) {
        uses++;
        return kernels.within(work);
      },
    };
    const gpu: Gpu = {
      cuda,
      cudnn,
      kernels: counted,
      kernelUses: () => uses,
      stream,
      copyStreams,
      workspace,
      convolutions: new Map(),
      chosen: new Map(),
      ...settings,
      compiler,
      compiles,
      contextBytes: cuda.processBytes() ?? cuda.totalBytes - cuda.freeBytes(),
    };
    const known = new Map<string, boolean>();
    return {
      backend: "cuda",
      fuses: compiles,
      device: {
        name: cuda.name,
        threads: cuda.multiprocessors,
        memoryBytes: cuda.totalBytes,
        runtimeVersion: ortVersion(),
        settings: {
          TF32: settings.tf32 ? "on" : "off",
          deterministic: settings.deterministic ? "yes" : "no",
          driver: versionOf(cuda.driverVersion),
          CUDA: versionOf(cuda.runtimeVersion),
          cuDNN: cudnnVersionOf(cudnn.version),
          NVRTC: compiler?.version ?? "none: nothing is fused",
        },
      },
      hasKernel(node, graph) {
        if (runsOwn(node, graph, gpu)) return true;
        const op = opOf(node);
        if (!op.types) return false;
        // what a kernel reads on the host must be known before it runs
        if (hostInputs(node).some((slot) => node.inputs[slot] && !graph.tensors.get(node.inputs[slot])?.data))
          return false;
        const request = requestOf(node, graph);
        const key = kernelKey(request);
        let found = known.get(key);
        if (found === undefined) {
          try {
            kernels.releaseOp(kernels.createOp(request));
            found = true;
          } catch {
            found = false;
          }
          known.set(key, found);
        }
        return found;
      },
      load: (graph, layout) => loadOnGpu(graph, layout, gpu),
      freeBytes: () => cuda.freeBytes(),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}
