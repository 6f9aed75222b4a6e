import { numberFrom, pointerFrom, textIn } from "../native-library.js";
import type { Pointer } from "../ort-api.js";
import { CudaCalls } from "./cuda-calls.js";
import { type Nvml, openNvml } from "./nvml.js";

/** Direction of a copy (`cudaMemcpyKind`). */
export const toDevice = 1;

export const toHost = 2;

export const onDevice = 3;

/** Attribute numbers of `cudaDeviceGetAttribute`. */
const attributes = { multiprocessors: 16, major: 75, minor: 76, sharedBytes: 97 } as const;

/**
 * Opens device `device` through the CUDA runtime library in `file`. Throws `no CUDA device …`, `no CUDA device N (there
 * are M)`, or what CUDA says.
 */
export function openCuda(file: string, device = 0): Cuda {
  const calls = new CudaCalls(file);
  const count = [0];
  const found = calls.bare.cudaGetDeviceCount(count);
  if (found !== 0) {
    calls.forgetError();
    throw new Error(`no CUDA device: ${calls.describe(found)}`);
  }
  if (device >= (count[0] as number)) throw new Error(`no CUDA device ${device} (there are ${count[0]})`);
  const nvml = openNvml(busId(calls, device));
  const usedBefore = nvml?.usedBytes() ?? null;
  calls.call("cudaSetDevice", device);
  return new Cuda(calls, device, nvml, usedBefore);
}

/** The device's PCI address; empty where CUDA does not say. */
function busId(calls: CudaCalls, device: number): string {
  const bytes = new Uint8Array(new ArrayBuffer(64));
  return calls.bare.cudaDeviceGetPCIBusId(bytes, bytes.length, device) === 0 ? textIn(bytes) : "";
}

const size = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

/** One device through the CUDA runtime. Every call throws `CUDA: <what CUDA says> (<call>)` if it fails. */
export class Cuda {
  readonly name: string;
  /** Compute capability: 90 is 9.0. */
  readonly capability: number;
  readonly multiprocessors: number;
  /** Most shared memory that a block may ask for. */
  readonly sharedBytes: number;
  readonly totalBytes: number;
  /** 13000 is 13.0. */
  readonly runtimeVersion: number;
  readonly driverVersion: number;

  /**
   * Device number `device`, which is current. `usedBeforeBytes` were in use on it before this process used it; null if
   * the driver's management library is not there.
   */
  constructor(
    private readonly calls: CudaCalls,
    readonly device: number,
    private readonly nvml: Nvml | null,
    readonly usedBeforeBytes: number | null,
  ) {
    const attribute = (number: number): number =>
      numberFrom((out) => calls.call("cudaDeviceGetAttribute", out, number, device));
    // the name is the first field of cudaDeviceProp
    this.name = textIn(calls.properties(device));
    this.capability = 10 * attribute(attributes.major) + attribute(attributes.minor);
    this.multiprocessors = attribute(attributes.multiprocessors);
    this.sharedBytes = attribute(attributes.sharedBytes);
    this.totalBytes = this.memory().total;
    this.runtimeVersion = calls.number("cudaRuntimeGetVersion");
    this.driverVersion = calls.number("cudaDriverGetVersion");
  }

  freeBytes(): number {
    return this.memory().free;
  }

  /** Bytes that this process holds on the device in all: context, libraries, memory; null where it cannot be told. */
  processBytes(): number | null {
    const { nvml, usedBeforeBytes } = this;
    if (!nvml) return null;
    return nvml.processBytes() ?? (usedBeforeBytes === null ? null : nvml.usedBytes() - usedBeforeBytes);
  }

  malloc(bytes: number): Pointer {
    return pointerFrom((out) =>
      this.calls.check(
        this.calls.bare.cudaMalloc(out, Math.max(bytes, 1)),
        `cudaMalloc of ${size(bytes)}, ${size(this.memory().free)} free`,
      ),
    );
  }

  free(memory: Pointer): void {
    this.calls.call("cudaFree", memory);
  }

  /** Pinned memory of the host. */
  hostAlloc(bytes: number): Pointer {
    return pointerFrom((out) =>
      this.calls.check(this.calls.bare.cudaHostAlloc(out, Math.max(bytes, 1), 0), `cudaHostAlloc of ${size(bytes)}`),
    );
  }

  hostFree(memory: Pointer): void {
    this.calls.call("cudaFreeHost", memory);
  }

  /** Copies a typed array to the device, and waits for it. */
  write(to: Pointer, from: Uint8Array): void {
    this.calls.write(to, from, toDevice);
  }

  /** Copies device memory into a typed array, and waits for it. */
  read(into: Uint8Array, from: Pointer): void {
    this.calls.read(into, from, toHost);
  }

  copy(to: Pointer, from: Pointer, bytes: number, kind: number, stream: Pointer): void {
    this.calls.call("cudaMemcpyAsync", to, from, bytes, kind, stream);
  }

  /** Rows of `width` bytes that lie `pitch` bytes apart. */
  copyRows(
    to: Pointer,
    toPitch: number,
    from: Pointer,
    fromPitch: number,
    width: number,
    rows: number,
    stream: Pointer,
  ): void {
    this.calls.call("cudaMemcpy2DAsync", to, toPitch, from, fromPitch, width, rows, onDevice, stream);
  }

  fill(memory: Pointer, value: number, bytes: number, stream: Pointer): void {
    this.calls.call("cudaMemsetAsync", memory, value, bytes, stream);
  }

  /** A new stream, which does not wait for the default one. */
  stream(): Pointer {
    return this.calls.pointer("cudaStreamCreateWithFlags", 1);
  }

  destroyStream(stream: Pointer): void {
    this.calls.call("cudaStreamDestroy", stream);
  }

  /** Waits until everything in the stream is done. */
  wait(stream: Pointer): void {
    this.calls.call("cudaStreamSynchronize", stream);
  }

  event(timed: boolean): Pointer {
    return this.calls.pointer("cudaEventCreateWithFlags", timed ? 0 : 2);
  }

  destroyEvent(event: Pointer): void {
    this.calls.call("cudaEventDestroy", event);
  }

  record(event: Pointer, stream: Pointer): void {
    this.calls.call("cudaEventRecord", event, stream);
  }

  /** What comes later in the stream waits for the event. */
  waitFor(stream: Pointer, event: Pointer): void {
    this.calls.call("cudaStreamWaitEvent", stream, event, 0);
  }

  /** ms between two timed events that have happened; waits for the second. */
  elapsedMs(start: Pointer, end: Pointer): number {
    this.calls.call("cudaEventSynchronize", end);
    return this.calls.number("cudaEventElapsedTime", start, end);
  }

  /** Records what `work` puts into the stream instead of running it; the result is launched with `launch`. */
  capture(stream: Pointer, work: () => void): Pointer {
    const { calls } = this;
    calls.call("cudaStreamBeginCapture", stream, 2); // relaxed: the host may allocate meanwhile
    try {
      work();
    } catch (error) {
      const value: [unknown] = [null];
      if (calls.bare.cudaStreamEndCapture(stream, value) === 0 && value[0]) calls.bare.cudaGraphDestroy(value[0]);
      calls.forgetError();
      throw error;
    }
    const graph = pointerFrom((out) => calls.call("cudaStreamEndCapture", stream, out));
    try {
      return calls.pointer("cudaGraphInstantiate", graph, 0);
    } finally {
      calls.call("cudaGraphDestroy", graph);
    }
  }

  launch(graph: Pointer, stream: Pointer): void {
    this.calls.call("cudaGraphLaunch", graph, stream);
  }

  destroyGraph(graph: Pointer): void {
    this.calls.call("cudaGraphExecDestroy", graph);
  }

  private memory(): { free: number; total: number } {
    const [free, total] = [[0], [0]];
    this.calls.call("cudaMemGetInfo", free, total);
    return { free: Number(free[0]), total: Number(total[0]) };
  }
}
