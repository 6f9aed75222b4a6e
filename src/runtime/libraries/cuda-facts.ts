import { readFileSync } from "node:fs";
import koffi from "koffi";
import type { CudaMajor } from "./cuda-places.js";

/** A GPU as the driver describes it. */
export interface GpuFacts {
  readonly name: string;
  readonly memoryBytes: number;
  /** Compute capability: `9.0`. */
  readonly capability: string;
}

/** What must outlive every call into the libraries: koffi unloads what the collector takes. */
const kept: unknown[] = [];

type Call = (...args: unknown[]) => number;

function open(file: string): (signature: string) => Call {
  try {
    const library = koffi.load(file);
    kept.push(library);
    return (signature) => {
      const call = library.func(signature) as Call;
      kept.push(call);
      return call;
    };
  } catch (error) {
    const why = (error as Error).message.split("\n")[0];
    throw new Error(`cannot load ${file}: ${why}`, { cause: error });
  }
}

function numberFrom(call: Call, name: string): number {
  const out = [0];
  const error = call(out);
  if (error !== 0) throw new Error(`CUDA error ${error} (${name})`);
  return out[0] as number;
}

/** CUDA's way to write versions: 13020 is 13.2. */
export const cudaVersion = (number: number): string =>
  `${Math.floor(number / 1000)}.${Math.floor((number % 1000) / 10)}`;

/** The newest CUDA that the driver in library `file` can run: 13000 is 13.0. No GPU is needed to ask. */
export const driverVersion = (file: string): number =>
  numberFrom(open(file)("int cuDriverGetVersion(_Out_ int *version)"), "cuDriverGetVersion");

/** The driver's own number, 580.95.05 say; undefined where the kernel does not say. */
export function driverRelease(): string | undefined {
  try {
    return /Kernel Module\D*?\s([\d.]+)\s/.exec(readFileSync("/proc/driver/nvidia/version", "utf8"))?.[1];
  } catch {
    return undefined;
  }
}

/** Version of the CUDA runtime in library `file`: 13000 is 13.0. */
export const runtimeVersion = (file: string): number =>
  numberFrom(open(file)("int cudaRuntimeGetVersion(_Out_ int *version)"), "cudaRuntimeGetVersion");

/** Version of cuDNN in library `file`: `9.14.0`. */
export function cudnnVersion(file: string): string {
  const number = Number(open(file)("size_t cudnnGetVersion()")());
  return `${Math.floor(number / 10_000)}.${Math.floor((number % 10_000) / 100)}.${number % 100}`;
}

/** Version of the run-time compiler in library `file`: `13.0`. */
export function nvrtcVersion(file: string): string {
  const [major, minor] = [[0], [0]];
  const error = open(file)("int nvrtcVersion(_Out_ int *major, _Out_ int *minor)")(major, minor);
  if (error !== 0) throw new Error(`NVRTC error ${error} (nvrtcVersion)`);
  return `${major[0]}.${minor[0]}`;
}

/** Oldest driver release for each CUDA. */
const oldestDriver: Readonly<Record<CudaMajor, string>> = { 12: "525", 13: "580" };

/** Throws if a driver that runs CUDA up to `version` cannot run CUDA `major`. */
export function checkDriver(version: number, major: CudaMajor): void {
  if (version >= 1000 * major) return;
  const older = version >= 12_000 ? ", or run mutwo cuda install --cuda 12" : "";
  throw new Error(
    `the driver is too old: it runs CUDA up to ${cudaVersion(version)}, CUDA ${major} needs driver ${oldestDriver[major]} or newer${older}`,
  );
}

/** Attribute numbers of `cuDeviceGetAttribute`. */
const attributes = { major: 75, minor: 76 } as const;

/**
 * The GPUs that the driver in library `file` shows this process. Throws `no GPU: …` with the driver's reason if there is
 * none, which is also what an empty CUDA_VISIBLE_DEVICES means.
 */
export function gpus(file: string): GpuFacts[] {
  const bind = open(file);
  const errorString = bind("int cuGetErrorString(int error, _Out_ const char **text)");
  const check = (error: number, call: string): void => {
    if (error === 0) return;
    const text: [string | null] = [null];
    errorString(error, text);
    throw new Error(`no GPU: ${text[0] ?? "unknown error"} [${error}] (${call})`);
  };
  const out = <T>(call: Call, name: string, first: T, ...rest: unknown[]): T => {
    const value: [T] = [first];
    check(call(value, ...rest), name);
    return value[0];
  };
  check(bind("int cuInit(uint32_t flags)")(0), "cuInit");
  const count = out(bind("int cuDeviceGetCount(_Out_ int *count)"), "cuDeviceGetCount", 0);
  if (count === 0) throw new Error("no GPU: the driver shows none (CUDA_VISIBLE_DEVICES)");
  const get = bind("int cuDeviceGet(_Out_ int *device, int ordinal)");
  const attribute = bind("int cuDeviceGetAttribute(_Out_ int *value, int attribute, int device)");
  const total = bind("int cuDeviceTotalMem_v2(_Out_ size_t *bytes, int device)");
  const nameOf = bind("int cuDeviceGetName(_Out_ uint8_t *name, int length, int device)");
  return Array.from({ length: count }, (_, ordinal) => {
    const device = out(get, "cuDeviceGet", 0, ordinal);
    const name = new Uint8Array(new ArrayBuffer(256));
    check(nameOf(name, name.length, device), "cuDeviceGetName");
    const [major, minor] = [attributes.major, attributes.minor].map((number) =>
      out(attribute, "cuDeviceGetAttribute", 0, number, device),
    );
    return {
      name: Buffer.from(name.subarray(0, name.indexOf(0))).toString(),
      memoryBytes: Number(out(total, "cuDeviceTotalMem_v2", 0, device)),
      capability: `${major}.${minor}`,
    };
  });
}
