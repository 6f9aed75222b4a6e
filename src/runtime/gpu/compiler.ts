import koffi from "koffi";
import { cacheFolder } from "../../cache.js";
import { type NativeCall, NativeLibrary, pointerFrom } from "../native-library.js";
import { type Pointer, pointerArray } from "../ort-api.js";
import { cachedBytes } from "./kept.js";
import { Nvrtc } from "./nvrtc.js";
import { type KernelSource, prelude } from "./source/kernel.js";

/** A kernel of ours, ready to be launched. */
export interface Kernel {
  /** Launches it in a stream; the addresses, its parameters, may differ each time. */
  prepare(addresses: () => readonly Pointer[], stream: Pointer): () => void;
}

/** Functions of the driver that return an error number (cuda.h). */
const functions = {
  cuModuleLoadData: "int (_Out_ uintptr_t *module, const void *image)",
  cuModuleGetFunction: "int (_Out_ uintptr_t *function, uintptr_t module, const char *name)",
  cuModuleUnload: "int (uintptr_t module)",
  cuFuncSetAttribute: "int (uintptr_t function, int attribute, int value)",
  cuLaunchKernel:
    "int (uintptr_t function, uint32_t x, uint32_t y, uint32_t z, uint32_t tx, uint32_t ty, uint32_t tz, uint32_t shared, uintptr_t stream, uintptr_t parameters, uintptr_t extra)",
} as const;

/** Shared memory that a block may have without asking for it. */
const usualSharedBytes = 48 * 1024;

/** `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`. */
const mostSharedBytes = 8;

/** Compiles CUDA C at run time (NVRTC) and launches what comes out (the driver's API). */
export class Compiler {
  private readonly nvrtc: Nvrtc;
  private readonly driver: Readonly<Record<keyof typeof functions, NativeCall>>;
  private readonly modules: Pointer[] = [];
  private readonly compiled = new Map<string, Pointer>();

  /**
   * Opens NVRTC's library `file` for devices of that compute capability. The device's context must be current. Throws if
   * a library is missing or of another kind.
   */
  constructor(file: string, capability: number) {
    this.nvrtc = new Nvrtc(file, capability);
    this.driver = new NativeLibrary("libcuda.so.1").functions(functions);
  }

  /** NVRTC's version, 13.0 say. */
  get version(): string {
    return this.nvrtc.version;
  }

  /** Compiles those sources that are new, all in one program. Throws the compiler's first error. */
  compile(sources: readonly KernelSource[]): void {
    const fresh = new Map(sources.filter(({ name }) => !this.compiled.has(name)).map((one) => [one.name, one]));
    if (fresh.size === 0) return;
    const bodies = [...fresh.values()].map(({ source }) => source);
    const needs16 = bodies.some((body) => /__half|__nv_bfloat16/.test(body));
    const head = needs16 ? prelude : `#define MUTWO_NO_16_BIT\n${prelude}`;
    const program = `${head}\n${bodies.sort().join("\n")}`;
    const { flags, version } = this.nvrtc;
    const key = [program, flags.join(" "), version];
    const cubin = cachedBytes(cacheFolder("kernels"), key, () => this.nvrtc.build(program));
    const module = pointerFrom((out) => this.call("cuModuleLoadData", out, cubin));
    this.modules.push(module);
    for (const [name, { sharedBytes = 0 }] of fresh) {
      const handle = pointerFrom((out) => this.call("cuModuleGetFunction", out, module, name));
      if (sharedBytes > usualSharedBytes) this.call("cuFuncSetAttribute", handle, mostSharedBytes, sharedBytes);
      this.compiled.set(name, handle);
    }
  }

  /** A compiled kernel. */
  kernel(source: KernelSource): Kernel {
    return { prepare: (addresses, stream) => this.prepare(source, addresses, stream) };
  }

  close(): void {
    for (const module of this.modules.splice(0)) this.driver.cuModuleUnload(module);
    this.compiled.clear();
  }

  private prepare(source: KernelSource, addresses: () => readonly Pointer[], stream: Pointer): () => void {
    // what kernelParams points to: each parameter's value
    const values = pointerArray(addresses());
    const base = koffi.address(values) as Pointer;
    const parameters = pointerArray([...values].map((_, i) => base + BigInt(8 * i)));
    const list = koffi.address(parameters) as Pointer;
    const handle = this.compiled.get(source.name);
    if (handle === undefined) throw new Error(`kernel not compiled: ${source.name}`);
    const launch = this.driver.cuLaunchKernel;
    return () => {
      values.set(addresses() as Pointer[]);
      const { blocks, threads, sharedBytes = 0 } = source;
      const result = launch(handle, blocks, 1, 1, threads, 1, 1, sharedBytes, stream, list, 0n);
      if (result !== 0)
        throw new Error(
          `CUDA driver: error ${result} (cuLaunchKernel, ${Math.min(values.length, parameters.length)} parameters)`,
        );
    };
  }

  private call(name: keyof typeof functions, ...args: unknown[]): void {
    const result = this.driver[name](...args);
    if (result !== 0) throw new Error(`CUDA driver: error ${result} (${name})`);
  }
}
