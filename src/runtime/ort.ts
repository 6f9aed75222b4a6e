import koffi from "koffi";
import { onnxNumbers, type TensorType } from "../graph/graph.js";
import type { OpRequest } from "./kernel-key.js";
import { type Api, check, cString, library, made, type Pointer, pointerArray } from "./ort-api.js";
import { type CudaProvider, useCuda } from "./ort-cuda.js";
import { type Host, hostModel, hostOp } from "./ort-host.js";
import { createOp } from "./ort-op.js";

/** What one session's provider gives us: a thread pool, kernels, and the place where they may be called. */
export interface Kernels {
  /** Creates an operator with the provider's own kernel. Throws `no kernel: …` with ONNX Runtime's reason. */
  createOp(request: OpRequest): Pointer;
  releaseOp(op: Pointer): void;
  /** A tensor on memory that we own, on the provider's device or on the host. `address` stays ours. */
  createValue(address: Pointer, bytes: number, type: TensorType, place?: "device" | "host"): Pointer;
  releaseValue(value: Pointer): void;
  /** Calls `work` where kernels may be invoked; an exception in it is thrown again here. */
  within<T>(work: (invoke: Invoke) => T): T;
  /** Bytes that kernels have taken from the session's allocator, now and at most; null if it does not say. */
  allocations(): { readonly inUse: number; readonly maxInUse: number } | null;
  /** Frees the session; ops and values must have been released before. */
  close(): void;
}

/** Runs an operator on arrays of OrtValue pointers; throws ONNX Runtime's message if the kernel fails. */
export type Invoke = (op: Pointer, inputs: Pointer, inputCount: number, outputs: Pointer, outputCount: number) => void;

export interface KernelOptions {
  /** Threads of the CPU provider. */
  readonly threads: number;
  /** The CUDA provider instead. */
  readonly cuda?: CudaProvider;
}

/**
 * Opens a session on the CPU or CUDA provider that holds a single op of ours. Inside that op's compute callback native
 * kernels can be called one by one, on memory of our own, in any order.
 */
export const openKernels = (options: KernelOptions): Kernels => new Session(options);

class Session implements Kernels {
  private readonly api: Api = library().api;
  private readonly host: Host = hostOp();
  private readonly cuda: CudaProvider | undefined;
  private readonly domain: Pointer;
  private readonly sessionOptions: Pointer;
  private readonly runOptions: Pointer;
  private readonly session: Pointer;
  /** What the session says of its provider; operators are made by it. */
  private info: Pointer = 0n;
  private readonly allocator: Pointer;
  private readonly onHost: Pointer;
  private readonly onDevice: Pointer;
  private readonly ends: Ends;

  constructor({ threads, cuda }: KernelOptions) {
    const { api, host } = this;
    this.cuda = cuda;
    host.onKernel = (given) => {
      this.info = made(api, (out) => api.copyKernelInfo(given, out));
    };
    host.provider = cuda ? cString("CUDAExecutionProvider") : null;
    this.domain = made(api, (out) => api.createCustomOpDomain("mutwo.host", out));
    check(api, api.customOpDomainAdd(this.domain, host.struct));
    this.sessionOptions = made(api, (out) => api.createSessionOptions(out));
    check(api, api.addCustomOpDomain(this.sessionOptions, this.domain));
    check(api, api.setIntraOpNumThreads(this.sessionOptions, threads));
    if (cuda) useCuda(api, this.sessionOptions, cuda);
    this.runOptions = made(api, (out) => api.createRunOptions(out));
    if (cuda) check(api, api.addRunConfigEntry(this.runOptions, "disable_synchronize_execution_providers", "1"));
    const model = hostModel();
    const { env } = library();
    this.session = made(api, (out) => api.createSessionFromArray(env, model, model.length, this.sessionOptions, out));
    this.onHost = made(api, (out) => api.createCpuMemoryInfo(0, 0, out));
    this.onDevice = cuda ? made(api, (out) => api.createMemoryInfo("Cuda", 0, cuda.device, 0, out)) : this.onHost;
    this.ends = new Ends(this, cuda?.scratch);
    this.allocator = made(api, (out) => api.kernelInfoGetAllocator(this.info, 0, out));
  }

  createOp(request: OpRequest): Pointer {
    return createOp(this.api, this.info, request, this.cuda ? "cuda" : "cpu");
  }

  releaseOp(op: Pointer): void {
    this.api.releaseOp(op);
  }

  createValue(address: Pointer, bytes: number, type: TensorType, place: "device" | "host" = "device"): Pointer {
    const shape = BigInt64Array.from(type.shape.map(BigInt));
    const memory = place === "host" ? this.onHost : this.onDevice;
    return made(this.api, (out) =>
      this.api.createTensorWithData(memory, address, bytes, shape, shape.length, onnxNumbers[type.dtype], out),
    );
  }

  releaseValue(value: Pointer): void {
    this.api.releaseValue(value);
  }

  within<T>(work: (invoke: Invoke) => T): T {
    const { api } = this;
    let result: { value: T } | { error: unknown } | undefined;
    this.host.onCompute = (context) => {
      try {
        result = {
          value: work((op, inputs, inputCount, outputs, outputCount) => {
            const status = api.invokeOp(context, op, inputs, inputCount, outputs, outputCount);
            if (status) check(api, status);
          }),
        };
      } catch (error) {
        result = { error };
      }
    };
    check(api, this.runHost(this.runOptions));
    if (!result) throw new Error("the host op was not called");
    if ("error" in result) throw result.error;
    return result.value;
  }

  allocations(): { inUse: number; maxInUse: number } | null {
    const { api } = this;
    const pairs = made(api, (out) => api.allocatorGetStats(this.allocator, out));
    const stat = (key: string): number => Number(api.getKeyValue(pairs, key) ?? Number.NaN);
    const found = { inUse: stat("InUse"), maxInUse: stat("MaxInUse") };
    api.releaseKeyValuePairs(pairs);
    return Number.isFinite(found.inUse) && Number.isFinite(found.maxInUse) ? found : null;
  }

  close(): void {
    const { api } = this;
    if (this.cuda) {
      // A run that synchronises hands what kernels left to be freed (pinned buffers) to a callback in the stream, which
      // holds the allocator too. It must be over before the session goes: the last to let go of the allocator frees its
      // memory, and CUDA permits no call in a callback.
      this.host.onCompute = () => {};
      api.releaseStatus(this.runHost(null));
      this.cuda.wait();
    }
    api.releaseAllocator(this.allocator);
    for (const value of [this.ends.x, this.ends.y]) api.releaseValue(value);
    api.releaseKernelInfo(this.info);
    api.releaseSession(this.session);
    api.releaseRunOptions(this.runOptions);
    api.releaseSessionOptions(this.sessionOptions);
    api.releaseCustomOpDomain(this.domain);
    if (this.cuda) api.releaseMemoryInfo(this.onDevice);
    api.releaseMemoryInfo(this.onHost);
  }

  /** Runs the session, and so the op of ours; returns a status. */
  private runHost(options: Pointer | null): unknown {
    const { xName, xValue, yName, yValue } = this.ends;
    return this.api.run(this.session, options, xName, xValue, 1, yName, 1, yValue);
  }
}

/** Input and output of the op of ours, one number each, as the session's run takes them. */
class Ends {
  readonly x: Pointer;
  readonly y: Pointer;
  readonly xName = pointerArray([cString("x")]);
  readonly yName = pointerArray([cString("y")]);
  readonly xValue: BigUint64Array;
  readonly yValue: BigUint64Array;
  /** Where the numbers lie on the host: an ArrayBuffer of its own stays where it is, and lives as long as this. */
  private readonly memory = new Float32Array(new ArrayBuffer(8));

  /** `scratch`: where the numbers lie on a device. */
  constructor(kernels: Pick<Kernels, "createValue">, scratch: Pointer | undefined) {
    const at = scratch ?? (koffi.address(this.memory) as Pointer);
    this.x = kernels.createValue(at, 4, { dtype: "float32", shape: [1] });
    this.y = kernels.createValue(at + 4n, 4, { dtype: "float32", shape: [1] });
    this.xValue = pointerArray([this.x]);
    this.yValue = pointerArray([this.y]);
  }
}
