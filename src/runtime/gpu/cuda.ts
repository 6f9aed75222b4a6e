import { numberFrom, pointerFrom, textIn } from "../native-library.js";
import type { Pointer } from "../ort-api.js";
import { CudaCalls } from "./cuda-calls.js";
import { type Nvml, openNvml, ownProcess } from "./nvml.js";

/** Direction of a copy (`cudaMemcpyKind`). */
export const toDevice = 1;

export const toHost = 2;

export const onDevice = 3;

const onHost = 0;

/** What is not done yet (`cudaErrorNotReady`): no error. */
const notReady = 600;

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
  const bus = busId(calls, device);
  const outside = outsides.get(bus) ?? seenFromOutside(openNvml(bus));
  outsides.set(bus, outside);
  calls.call("cudaSetDevice", device);
  return new Cuda(calls, device, outside);
}

/** What tells the bytes of this process on each device: a context stays, so only before the first nothing of it is there. */
const outsides = new Map<string, () => number | null>();

/** What tells the bytes that this process holds on a device, as the driver sees it; null where that is not there. */
function seenFromOutside(nvml: Nvml | null): () => number | null {
  if (!nvml) return () => null;
  const [usedBefore, before] = [nvml.usedBytes(), nvml.processes()];
  let own: number | null | undefined;
  return () => {
    const now = nvml.processes();
    // this process is there as soon as it has a context
    own ??= ownProcess(before, now);
    return (own === null ? undefined : now.get(own)) ?? nvml.usedBytes() - usedBefore;
  };
}

/** The device's PCI address; empty where CUDA does not say. */
function busId(calls: CudaCalls, device: number): string {
  const bytes = new Uint8Array(new ArrayBuffer(64));
  return calls.bare.cudaDeviceGetPCIBusId(bytes, bytes.length, device) === 0 ? textIn(bytes) : "";
}

/** Memory from which on taking it and giving it back may be when the process holds most, bytes. */
const noticedBytes = 2 ** 24;

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

  private readonly held = new Map<Pointer, number>();
  private heldBytes = 0;
  private mostBytes = 0;

  /**
   * Device number `device`, which is current. `outside` tells what this process holds on it in all; null where the
   * driver's management library is not there.
   */
  constructor(
    private readonly calls: CudaCalls,
    readonly device: number,
    private readonly outside: () => number | null,
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

  /**
   * Bytes that this process holds on the device in all: context, libraries, memory. Where the driver's management library
   * is not there, what is in use on it by whomever.
   */
  processBytes(): number {
    const bytes = this.outside() ?? this.totalBytes - this.freeBytes();
    this.mostBytes = Math.max(this.mostBytes, bytes);
    return bytes;
  }

  /** What of it was not taken by `malloc`: context, libraries, code of kernels, captured graphs. */
  besideBytes(): number {
    return Math.max(0, this.processBytes() - this.heldBytes);
  }

  /** The most that this process has held on the device until now, bytes. */
  peakBytes(): number {
    this.processBytes();
    return this.mostBytes;
  }

  malloc(bytes: number): Pointer {
    const at = pointerFrom((out) =>
      this.calls.check(
        this.calls.bare.cudaMalloc(out, Math.max(bytes, 1)),
        `cudaMalloc of ${size(bytes)}, ${size(this.memory().free)} free`,
      ),
    );
    this.held.set(at, bytes);
    this.heldBytes += bytes;
    if (bytes >= noticedBytes) this.processBytes();
    return at;
  }

  free(memory: Pointer): void {
    const bytes = this.held.get(memory) ?? 0;
    // kernels that worked on it may have had their code loaded meanwhile
    if (bytes >= noticedBytes) this.processBytes();
    this.calls.call("cudaFree", memory);
    this.held.delete(memory);
    this.heldBytes -= bytes;
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

  /** Copies a typed array into pinned memory of the host. */
  writeHost(to: Pointer, from: Uint8Array): void {
    this.calls.write(to, from, onHost);
  }

  /** Copies pinned memory of the host into a typed array. */
  readHost(into: Uint8Array, from: Pointer): void {
    this.calls.read(into, from, onHost);
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

  /** Waits on the host until an event has happened. */
  waitOnHost(event: Pointer): void {
    this.calls.call("cudaEventSynchronize", event);
  }

  /** Whether an event has happened. */
  isDone(event: Pointer): boolean {
    const error = this.calls.bare.cudaEventQuery(event);
    if (error === notReady) this.calls.forgetError();
    else this.calls.check(error, "cudaEventQuery");
    return error === 0;
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
