import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import koffi from "koffi";
import { cacheFolder } from "../../cache.js";
import { type Pointer, pointerArray } from "../ort-api.js";
import { type KernelSource, prelude } from "./source/kernel.js";

/** A kernel of ours, ready to be launched. */
export interface Kernel {
  /** Launches it in a stream; the addresses, its parameters, may differ each time. */
  prepare(addresses: () => readonly Pointer[], stream: Pointer): () => void;
}

/** Compiles CUDA C at run time (NVRTC) and launches what comes out (the driver's API). */
export interface Compiler {
  /** NVRTC's version, 13.0 say. */
  readonly version: string;
  /** Compiles those sources that are new, all in one program. Throws the compiler's first error. */
  compile(sources: readonly KernelSource[]): void;
  /** A compiled kernel. */
  kernel(source: KernelSource): Kernel;
  close(): void;
}

/** An op's bits must not depend on what it is fused with: no fused multiply-add. */
const options = (capability: number, includes: readonly string[]): string[] => [
  `--gpu-architecture=sm_${capability}`,
  "--fmad=false",
  "--std=c++17",
  ...includes.map((folder) => `--include-path=${folder}`),
];

/** What must outlive every call into the libraries: koffi unloads what the collector takes. */
const kept: unknown[] = [];

const cString = (text: string): Buffer => Buffer.from(`${text}\0`);

/**
 * Opens the compiler in the library `file` for devices of that compute capability. The device's context must be current.
 * Throws if a library is missing or of another kind.
 */
export function openCompiler(file: string, capability: number): Compiler {
  const nvrtc = koffi.load(file);
  const cuda = koffi.load("libcuda.so.1");
  const bind =
    (library: ReturnType<typeof koffi.load>) =>
    (signature: string): ((...args: unknown[]) => number) =>
      library.func(signature) as (...args: unknown[]) => number;
  const [n, d] = [bind(nvrtc), bind(cuda)];
  const getVersion = n("int nvrtcVersion(_Out_ int *major, _Out_ int *minor)");
  const createProgram = n(
    "int nvrtcCreateProgram(_Out_ uintptr_t *program, const char *source, const char *name, int headers, void *texts, void *names)",
  );
  const compileProgram = n("int nvrtcCompileProgram(uintptr_t program, int count, void *options)");
  const logSize = n("int nvrtcGetProgramLogSize(uintptr_t program, _Out_ size_t *bytes)");
  const getLog = n("int nvrtcGetProgramLog(uintptr_t program, _Out_ uint8_t *log)");
  const cubinSize = n("int nvrtcGetCUBINSize(uintptr_t program, _Out_ size_t *bytes)");
  const getCubin = n("int nvrtcGetCUBIN(uintptr_t program, _Out_ uint8_t *cubin)");
  const destroyProgram = n("int nvrtcDestroyProgram(_Inout_ uintptr_t *program)");
  const loadModule = d("int cuModuleLoadData(_Out_ uintptr_t *module, const void *image)");
  const getFunction = d("int cuModuleGetFunction(_Out_ uintptr_t *function, uintptr_t module, const char *name)");
  const unloadModule = d("int cuModuleUnload(uintptr_t module)");
  const launch = d(
    "int cuLaunchKernel(uintptr_t function, uint32_t x, uint32_t y, uint32_t z, uint32_t tx, uint32_t ty, uint32_t tz, uint32_t shared, uintptr_t stream, uintptr_t parameters, uintptr_t extra)",
  );
  kept.push(nvrtc, cuda, launch);
  const errorString = nvrtc.func("const char *nvrtcGetErrorString(int result)") as (result: number) => string;
  const compiled = (result: number, call: string): void => {
    if (result !== 0) throw new Error(`NVRTC: ${errorString(result)} (${call})`);
  };
  const driven = (result: number, call: string): void => {
    if (result !== 0) throw new Error(`CUDA driver: error ${result} (${call})`);
  };
  const [major, minor] = [[0], [0]];
  compiled(getVersion(major, minor), "nvrtcVersion");
  const version = `${major[0]}.${minor[0]}`;
  // the headers of 16-bit types lie beside the library, where it comes with a toolkit or a Python package
  const includes = ["../include", "../../include", "../../cuda_runtime/include"]
    .map((folder) => path.resolve(path.dirname(file), folder))
    .filter((folder) => existsSync(path.join(folder, "cuda_fp16.h")));
  const flags = options(capability, includes);
  const modules: Pointer[] = [];
  const functions = new Map<string, Pointer>();

  const build = (source: string): Uint8Array => {
    const made: [unknown] = [null];
    compiled(createProgram(made, source, "mutwo.cu", 0, null, null), "nvrtcCreateProgram");
    const program = BigInt(made[0] as number | bigint);
    try {
      const texts = flags.map(cString);
      const list = pointerArray(texts.map((text) => koffi.address(text) as Pointer));
      const result = compileProgram(program, list.length, list);
      if (result !== 0) {
        const size: [unknown] = [0];
        logSize(program, size);
        const log = new Uint8Array(new ArrayBuffer(Math.max(1, Number(size[0]))));
        getLog(program, log);
        const text = Buffer.from(log).toString();
        const first = text.split("\n").find((line) => /error/i.test(line)) ?? errorString(result);
        throw new Error(`NVRTC: ${first}`);
      }
      const size: [unknown] = [0];
      compiled(cubinSize(program, size), "nvrtcGetCUBINSize");
      const cubin = new Uint8Array(new ArrayBuffer(Number(size[0])));
      compiled(getCubin(program, cubin), "nvrtcGetCUBIN");
      return cubin;
    } finally {
      destroyProgram([program]);
    }
  };
  const cached = (source: string): Uint8Array => {
    const hash = createHash("sha256").update(source).update(flags.join(" ")).update(version).digest("hex");
    const place = path.join(cacheFolder("kernels"), `${hash}.cubin`);
    try {
      const found = readFileSync(place);
      const body = found.subarray(32);
      if (createHash("sha256").update(body).digest().equals(found.subarray(0, 32))) {
        const own = new Uint8Array(new ArrayBuffer(body.length));
        own.set(body);
        return own;
      }
    } catch {}
    const cubin = build(source);
    try {
      mkdirSync(path.dirname(place), { recursive: true });
      const temporary = `${place}.${process.pid}`;
      writeFileSync(temporary, Buffer.concat([createHash("sha256").update(cubin).digest(), cubin]));
      renameSync(temporary, place);
    } catch {} // without a cache it takes longer, no more
    return cubin;
  };
  return {
    version,
    compile(sources) {
      const fresh = new Map(sources.filter(({ name }) => !functions.has(name)).map((one) => [one.name, one]));
      if (fresh.size === 0) return;
      const bodies = [...fresh.values()].map(({ source }) => source);
      const needs16 = bodies.some((body) => /__half|__nv_bfloat16/.test(body));
      const head = needs16 ? prelude : `#define MUTWO_NO_16_BIT\n${prelude}`;
      const cubin = cached(`${head}\n${bodies.sort().join("\n")}`);
      const made: [unknown] = [null];
      driven(loadModule(made, cubin), "cuModuleLoadData");
      const module = BigInt(made[0] as number | bigint);
      modules.push(module);
      for (const name of fresh.keys()) {
        const found: [unknown] = [null];
        driven(getFunction(found, module, name), "cuModuleGetFunction");
        functions.set(name, BigInt(found[0] as number | bigint));
      }
    },
    kernel(source) {
      return {
        prepare(addresses, stream) {
          // what kernelParams points to: each parameter's value
          const values = pointerArray(addresses());
          const base = koffi.address(values) as Pointer;
          const parameters = pointerArray([...values].map((_, i) => base + BigInt(8 * i)));
          const list = koffi.address(parameters) as Pointer;
          const handle = functions.get(source.name);
          if (handle === undefined) throw new Error(`kernel not compiled: ${source.name}`);
          return () => {
            values.set(addresses() as Pointer[]);
            const result = launch(handle, source.blocks, 1, 1, source.threads, 1, 1, 0, stream, list, 0n);
            if (result !== 0)
              throw new Error(
                `CUDA driver: error ${result} (cuLaunchKernel, ${Math.min(values.length, parameters.length)} parameters)`,
              );
          };
        },
      };
    },
    close() {
      for (const module of modules.splice(0)) unloadModule(module);
      functions.clear();
    },
  };
}
