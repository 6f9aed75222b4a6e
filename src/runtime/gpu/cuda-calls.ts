import { type NativeCall, NativeLibrary, numberFrom, pointerFrom } from "../native-library.js";
import type { Pointer } from "../ort-api.js";

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
  cudaEventQuery: "int (uintptr_t event)",
  cudaEventElapsedTime: "int (_Out_ float *ms, uintptr_t start, uintptr_t end)",
} as const;

type Name = keyof typeof functions;

/** Errors after which nothing on the device works any more: what was launched before failed. */
const fatal = new Set([46, 79, 700, 709, 710, 714, 715, 716, 717, 718, 719, 721, 999]);

/** The functions of the CUDA runtime in one library. Each throws `CUDA: <what CUDA says> (<call>)` if it fails. */
export class CudaCalls {
  /** The functions themselves, which return an error number. */
  readonly bare: Readonly<Record<Name, NativeCall>>;
  private readonly errorName: (error: number) => string;
  private readonly errorString: (error: number) => string;
  private readonly lastError: () => number;
  private readonly copyIn: NativeCall;
  private readonly copyOut: NativeCall;
  private readonly deviceProperties: NativeCall;

  /** Loads the library `file`. */
  constructor(file: string) {
    const library = new NativeLibrary(file);
    this.bare = library.functions(functions);
    this.errorName = library.function("const char *cudaGetErrorName(int error)");
    this.errorString = library.function("const char *cudaGetErrorString(int error)");
    this.lastError = library.function("int cudaGetLastError()");
    this.copyIn = library.function("int cudaMemcpy(uintptr_t to, const void *from, size_t bytes, int kind)");
    this.copyOut = library.function("int cudaMemcpy(void *to, uintptr_t from, size_t bytes, int kind)");
    this.deviceProperties = library.function("int cudaGetDeviceProperties(_Out_ uint8_t *properties, int device)");
  }

  call(name: Name, ...args: unknown[]): void {
    this.check(this.bare[name](...args), name);
  }

  /** What the function writes through its first parameter: an address or a handle. */
  pointer(name: Name, ...args: unknown[]): Pointer {
    return pointerFrom((out) => this.call(name, out, ...args));
  }

  /** What the function writes through its first parameter: a number. */
  number(name: Name, ...args: unknown[]): number {
    return numberFrom((out) => this.call(name, out, ...args));
  }

  /** Copies a typed array to the device, and waits for it. */
  write(to: Pointer, from: Uint8Array, kind: number): void {
    this.check(this.copyIn(to, from, from.length, kind), "cudaMemcpy to device");
  }

  /** Copies device memory into a typed array, and waits for it. */
  read(into: Uint8Array, from: Pointer, kind: number): void {
    this.check(this.copyOut(into, from, into.length, kind), "cudaMemcpy to host");
  }

  /** The first bytes of a device's cudaDeviceProp, whose size grows with the versions. */
  properties(device: number): Uint8Array {
    const bytes = new Uint8Array(new ArrayBuffer(4096));
    this.check(this.deviceProperties(bytes, device), "cudaGetDeviceProperties");
    return bytes;
  }

  /** What CUDA says of an error: `out of memory [cudaErrorMemoryAllocation]`. */
  describe(error: number): string {
    return `${this.errorString(error)} [${this.errorName(error)}]`;
  }

  /** An error that is not fatal would be reported again by the next kernel launch. */
  forgetError(): void {
    this.lastError();
  }

  /** Throws if `error` is one; `call` tells what failed. */
  check(error: number, call: string): void {
    if (error === 0) return;
    this.forgetError();
    const what = this.describe(error);
    throw new Error(fatal.has(error) ? `CUDA: the GPU failed: ${what} (${call})` : `CUDA: ${what} (${call})`);
  }
}
