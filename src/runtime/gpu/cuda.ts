import koffi from "koffi";
import type { Pointer } from "../ort-api.js";
import { openNvml } from "./nvml.js";

/** Direction of a copy (`cudaMemcpyKind`). */
export const toDevice = 1;

export const toHost = 2;

export const onDevice = 3;

/** Functions of the CUDA runtime that return an error number (cuda_runtime_api.h). */
const functions = {
  cudaGetDeviceCount: "int (_Out_ int *count)",
  cudaSetDevice: "int (int device)",
  cudaDeviceGetPCIBusId: "int (_Out_ uint8_t *id, int length, int device)",
  cudaDeviceSynchronize: "int ()",
  cudaDeviceGetAttribute: "int (_Out_ int *value, int attribute, int device)",
  cudaDriverGetVersion: "int (_Out_ int *version)",
  cudaRuntimeGetVersion: "int (_Out_ int *version)",
  cudaMalloc: "int (_Out_ uintptr_t *memory, size_t bytes)",
  cudaFree: "int (uintptr_t memory)",
  cudaHostAlloc: "int (_Out_ uintptr_t *memory, size_t bytes, uint32_t flags)",
  cudaFreeHost: "int (uintptr_t memory)",
  cudaMemGetInfo: "int (_Out_ size_t *free, _Out_ size_t *total)",
  cudaMemcpyAsync: "int (uintptr_t to, uintptr_t from, size_t bytes, int kind, uintptr_t stream)",
  cudaMemcpy2DAsync:
    "int (uintptr_t to, size_t toPitch, uintptr_t from, size_t fromPitch, size_t width, size_t rows, int kind, uintptr_t stream)",
  cudaMemsetAsync: "int (uintptr_t memory, int value, size_t bytes, uintptr_t stream)",
  cudaStreamCreateWithFlags: "int (_Out_ uintptr_t *stream, uint32_t flags)",
  cudaStreamDestroy: "int (uintptr_t stream)",
  cudaStreamSynchronize: "int (uintptr_t stream)",
  cudaStreamWaitEvent: "int (uintptr_t stream, uintptr_t event, uint32_t flags)",
  cudaStreamBeginCapture: "int (uintptr_t stream, int mode)",
  cudaStreamEndCapture: "int (uintptr_t stream, _Out_ uintptr_t *graph)",
  cudaGraphInstantiate: "int (_Out_ uintptr_t *executable, uintptr_t graph, uint64_t flags)",
  cudaGraphLaunch: "int (uintptr_t executable, uintptr_t stream)",
  cudaGraphDestroy: "int (uintptr_t graph)",
  cudaGraphExecDestroy: "int (uintptr_t executable)",
  cudaEventCreateWithFlags: "int (_Out_ uintptr_t *event, uint32_t flags)",
  cudaEventDestroy: "int (uintptr_t event)",
  cudaEventRecord: "int (uintptr_t event, uintptr_t stream)",
  cudaEventSynchronize: "int (uintptr_t event)",
  cudaEventElapsedTime: "int (_Out_ float *ms, uintptr_t start, uintptr_t end)",
} as const;

type Name = keyof typeof functions;

/** One device through the CUDA runtime. Every call throws `CUDA: <what CUDA says> (<call>)` if it fails. */
export interface Cuda {
  readonly device: number;
  readonly name: string;
  /** Compute capability: 90 is 9.0. */
  readonly capability: number;
  readonly multiprocessors: number;
  readonly totalBytes: number;
  /** 13000 is 13.0. */
  readonly runtimeVersion: number;
  readonly driverVersion: number;
  /** Bytes in use on the device before this process used it; null if the driver's management library is not there. */
  readonly usedBeforeBytes: number | null;
  freeBytes(): number;
  /** Bytes that this process holds on the device in all: context, libraries, memory; null where it cannot be told. */
  processBytes(): number | null;
  malloc(bytes: number): Pointer;
  free(memory: Pointer): void;
  /** Pinned memory of the host. */
  hostAlloc(bytes: number): Pointer;
  hostFree(memory: Pointer): void;
  /** Copies a typed array to the device, or device memory into one, and waits for it. */
  write(to: Pointer, from: Uint8Array): void;
  read(into: Uint8Array, from: Pointer): void;
  copy(to: Pointer, from: Pointer, bytes: number, kind: number, stream: Pointer): void;
  /** Rows of `width` bytes that lie `pitch` bytes apart. */
  copyRows(
    to: Pointer,
    toPitch: number,
    from: Pointer,
    fromPitch: number,
    width: number,
    rows: number,
    stream: Pointer,
  ): void;
  fill(memory: Pointer, value: number, bytes: number, stream: Pointer): void;
  stream(): Pointer;
  destroyStream(stream: Pointer): void;
  /** Waits until everything in the stream is done. */
  wait(stream: Pointer): void;
  event(timed: boolean): Pointer;
  destroyEvent(event: Pointer): void;
  record(event: Pointer, stream: Pointer): void;
  /** What comes later in the stream waits for the event. */
  waitFor(stream: Pointer, event: Pointer): void;
  /** ms between two timed events that have happened; waits for the second. */
  elapsedMs(start: Pointer, end: Pointer): number;
  /** Records what `work` puts into the stream instead of running it; the result is launched with `launch`. */
  capture(stream: Pointer, work: () => void): Pointer;
  launch(graph: Pointer, stream: Pointer): void;
  destroyGraph(graph: Pointer): void;
}

/** Attribute numbers of `cudaDeviceGetAttribute`. */
const attributes = { multiprocessors: 16, major: 75, minor: 76 } as const;

/** Errors after which nothing on the device works any more: what was launched before failed. */
const fatal = new Set([46, 79, 700, 709, 710, 714, 715, 716, 717, 718, 719, 721, 999]);

/** What must outlive every call into the library: koffi unloads what the collector takes. */
const kept: unknown[] = [];

/**
 * Opens device `device` through the CUDA runtime library in `file`. Throws `no CUDA device …`, `no CUDA device N (there
 * are M)`, or what CUDA says.
 */
export function openCuda(file: string, device = 0): Cuda {
  const library = koffi.load(file);
  const api = Object.fromEntries(
    Object.entries(functions).map(([name, signature]) => [name, library.func(signature.replace("(", `${name}(`))]),
  ) as unknown as Record<Name, (...args: unknown[]) => number>;
  const errorName = library.func("const char *cudaGetErrorName(int error)") as (error: number) => string;
  const errorString = library.func("const char *cudaGetErrorString(int error)") as (error: number) => string;
  const lastError = library.func("int cudaGetLastError()") as () => number;
  const copyIn = library.func("int cudaMemcpy(uintptr_t to, const void *from, size_t bytes, int kind)");
  const copyOut = library.func("int cudaMemcpy(void *to, uintptr_t from, size_t bytes, int kind)");
  const properties = library.func("int cudaGetDeviceProperties(_Out_ uint8_t *properties, int device)");
  kept.push(library, api, errorName, errorString, lastError, copyIn, copyOut, properties);

  const check = (error: number, call: string): void => {
    if (error === 0) return;
    lastError(); // an error that is not fatal would be reported again by the next kernel launch
    const what = `${errorString(error)} [${errorName(error)}]`;
    throw new Error(fatal.has(error) ? `CUDA: the GPU failed: ${what} (${call})` : `CUDA: ${what} (${call})`);
  };
  const call = (name: Name, ...args: unknown[]): void => check(api[name](...args), name);
  const out = (name: Name, ...args: unknown[]): Pointer => {
    const value: [unknown] = [null];
    call(name, value, ...args);
    return BigInt(value[0] as number | bigint);
  };
  const outNumber = (name: Name, ...args: unknown[]): number => {
    const value: [unknown] = [0];
    call(name, value, ...args);
    return Number(value[0]);
  };

  const count = [0];
  const found = api.cudaGetDeviceCount(count);
  if (found !== 0) {
    lastError();
    throw new Error(`no CUDA device: ${errorString(found)} [${errorName(found)}]`);
  }
  if (device >= (count[0] as number)) throw new Error(`no CUDA device ${device} (there are ${count[0]})`);
  const busId = (): string => {
    const bytes = new Uint8Array(new ArrayBuffer(64));
    return api.cudaDeviceGetPCIBusId(bytes, bytes.length, device) === 0
      ? Buffer.from(bytes.subarray(0, Math.max(0, bytes.indexOf(0)))).toString()
      : "";
  };
  const nvml = openNvml(busId());
  const usedBefore = nvml?.usedBytes() ?? null;
  call("cudaSetDevice", device);
  const attribute = (number: number): number => {
    const value = [0];
    call("cudaDeviceGetAttribute", value, number, device);
    return value[0] as number;
  };
  const memory = (): { free: number; total: number } => {
    const [free, total] = [[0], [0]];
    call("cudaMemGetInfo", free, total);
    return { free: Number(free[0]), total: Number(total[0]) };
  };
  const deviceName = (): string => {
    // the name is the first field of cudaDeviceProp, whose size grows with the versions
    const bytes = new Uint8Array(new ArrayBuffer(4096));
    check(properties(bytes, device) as number, "cudaGetDeviceProperties");
    return Buffer.from(bytes.subarray(0, Math.max(0, bytes.indexOf(0)))).toString();
  };
  const size = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  return {
    device,
    name: deviceName(),
    capability: 10 * attribute(attributes.major) + attribute(attributes.minor),
    multiprocessors: attribute(attributes.multiprocessors),
    totalBytes: memory().total,
    runtimeVersion: outNumber("cudaRuntimeGetVersion"),
    driverVersion: outNumber("cudaDriverGetVersion"),
    usedBeforeBytes: usedBefore,
    freeBytes: () => memory().free,
    processBytes() {
      if (!nvml) return null;
      return nvml.processBytes() ?? (usedBefore === null ? null : nvml.usedBytes() - usedBefore);
    },
    malloc(bytes) {
      const value: [unknown] = [null];
      check(api.cudaMalloc(value, Math.max(bytes, 1)), `cudaMalloc of ${size(bytes)}, ${size(memory().free)} free`);
      return BigInt(value[0] as number | bigint);
    },
    free: (pointer) => call("cudaFree", pointer),
    hostAlloc(bytes) {
      const value: [unknown] = [null];
      check(api.cudaHostAlloc(value, Math.max(bytes, 1), 0), `cudaHostAlloc of ${size(bytes)}`);
      return BigInt(value[0] as number | bigint);
    },
    hostFree: (pointer) => call("cudaFreeHost", pointer),
    write: (to, from) => check(copyIn(to, from, from.length, toDevice) as number, "cudaMemcpy to device"),
    read: (into, from) => check(copyOut(into, from, into.length, toHost) as number, "cudaMemcpy to host"),
    copy: (to, from, bytes, kind, stream) => call("cudaMemcpyAsync", to, from, bytes, kind, stream),
    copyRows: (to, toPitch, from, fromPitch, width, rows, stream) =>
      call("cudaMemcpy2DAsync", to, toPitch, from, fromPitch, width, rows, onDevice, stream),
    fill: (pointer, value, bytes, stream) => call("cudaMemsetAsync", pointer, value, bytes, stream),
    stream: () => out("cudaStreamCreateWithFlags", 1), // does not wait for the default stream
    destroyStream: (stream) => call("cudaStreamDestroy", stream),
    wait: (stream) => call("cudaStreamSynchronize", stream),
    event: (timed) => out("cudaEventCreateWithFlags", timed ? 0 : 2),
    destroyEvent: (event) => call("cudaEventDestroy", event),
    record: (event, stream) => call("cudaEventRecord", event, stream),
    waitFor: (stream, event) => call("cudaStreamWaitEvent", stream, event, 0),
    elapsedMs(start, end) {
      call("cudaEventSynchronize", end);
      const ms = [0];
      call("cudaEventElapsedTime", ms, start, end);
      return ms[0] as number;
    },
    capture(stream, work) {
      call("cudaStreamBeginCapture", stream, 2); // relaxed: the host may allocate meanwhile
      try {
        work();
      } catch (error) {
        const value: [unknown] = [null];
        if (api.cudaStreamEndCapture(stream, value) === 0 && value[0]) api.cudaGraphDestroy(value[0]);
        lastError();
        throw error;
      }
      const ended: [unknown] = [null];
      call("cudaStreamEndCapture", stream, ended);
      const graph = BigInt(ended[0] as number | bigint);
      try {
        return out("cudaGraphInstantiate", graph, 0);
      } finally {
        call("cudaGraphDestroy", graph);
      }
    },
    launch: (graph, stream) => call("cudaGraphLaunch", graph, stream),
    destroyGraph: (graph) => call("cudaGraphExecDestroy", graph),
  };
}
