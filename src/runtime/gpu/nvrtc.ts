import { existsSync } from "node:fs";
import path from "node:path";
import { type NativeCall, NativeLibrary, numberFrom, pointerFrom } from "../native-library.js";
import { cString, type Pointer, pointerArray } from "../ort-api.js";

/** An op's bits must not depend on what it is fused with: no fused multiply-add. */
const options = (capability: number, includes: readonly string[]): string[] => [
  `--gpu-architecture=sm_${capability}`,
  "--fmad=false",
  "--std=c++17",
  ...includes.map((folder) => `--include-path=${folder}`),
];

/** Optimises functions of a program in as many threads as there are; older versions do not know it. */
const splitCompile = "--split-compile=0";

/** NVRTC_ERROR_INVALID_OPTION. */
const invalidOption = 5;

/** Functions of NVRTC that return a result (nvrtc.h). */
const functions = {
  nvrtcVersion: "int (_Out_ int *major, _Out_ int *minor)",
  nvrtcCreateProgram:
    "int (_Out_ uintptr_t *program, const char *source, const char *name, int headers, void *texts, void *names)",
  nvrtcCompileProgram: "int (uintptr_t program, int count, void *options)",
  nvrtcGetProgramLogSize: "int (uintptr_t program, _Out_ size_t *bytes)",
  nvrtcGetProgramLog: "int (uintptr_t program, _Out_ uint8_t *log)",
  nvrtcGetCUBINSize: "int (uintptr_t program, _Out_ size_t *bytes)",
  nvrtcGetCUBIN: "int (uintptr_t program, _Out_ uint8_t *cubin)",
  nvrtcDestroyProgram: "int (_Inout_ uintptr_t *program)",
} as const;

/** The headers of 16-bit types lie beside the library, where it comes with a toolkit or a Python package. */
const includesOf = (file: string): string[] =>
  ["../include", "../../include", "../../cuda_runtime/include"]
    .map((folder) => path.resolve(path.dirname(file), folder))
    .filter((folder) => existsSync(path.join(folder, "cuda_fp16.h")));

/** NVRTC: CUDA C at run time to code for one kind of GPU (a cubin). */
export class Nvrtc {
  /** 13.0, say. */
  readonly version: string;
  /** What decides the code beside the source. */
  readonly flags: readonly string[];
  private readonly api: Readonly<Record<keyof typeof functions, NativeCall>>;
  private readonly errorString: (result: number) => string;

  /** Opens the compiler in the library `file` for devices of that compute capability. */
  constructor(file: string, capability: number) {
    const library = new NativeLibrary(file);
    this.api = library.functions(functions);
    this.errorString = library.function("const char *nvrtcGetErrorString(int result)");
    const [major, minor] = [[0], [0]];
    this.call("nvrtcVersion", major, minor);
    this.version = `${major[0]}.${minor[0]}`;
    this.flags = options(capability, includesOf(file));
  }

  /** The code of a program. Throws the compiler's first error. */
  build(source: string): Uint8Array {
    const program = pointerFrom((out) => this.call("nvrtcCreateProgram", out, source, "mutwo.cu", 0, null, null));
    try {
      const compiled = (...more: string[]): number => {
        const list = pointerArray([...this.flags, ...more].map(cString));
        return this.api.nvrtcCompileProgram(program, list.length, list);
      };
      const split = compiled(splitCompile);
      const result = split === invalidOption ? compiled() : split;
      if (result !== 0) throw new Error(`NVRTC: ${this.firstError(program) ?? this.errorString(result)}`);
      const bytes = numberFrom((out) => this.call("nvrtcGetCUBINSize", program, out));
      const cubin = new Uint8Array(new ArrayBuffer(bytes));
      this.call("nvrtcGetCUBIN", program, cubin);
      return cubin;
    } finally {
      this.api.nvrtcDestroyProgram([program]);
    }
  }

  /** The first line of a program's log that tells of an error. */
  private firstError(program: Pointer): string | undefined {
    const bytes = numberFrom((out) => this.api.nvrtcGetProgramLogSize(program, out));
    const log = new Uint8Array(new ArrayBuffer(Math.max(1, bytes)));
    this.api.nvrtcGetProgramLog(program, log);
    const text = Buffer.from(log).toString();
    return text.split("\n").find((line) => /error/i.test(line));
  }

  private call(name: keyof typeof functions, ...args: unknown[]): void {
    const result = this.api[name](...args);
    if (result !== 0) throw new Error(`NVRTC: ${this.errorString(result)} (${name})`);
  }
}
