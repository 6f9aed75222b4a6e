import koffi from "koffi";
import { ortLibrary } from "./libraries/ort-library.js";

/** A native address; 0n is null. */
export type Pointer = bigint;

/** Slot of each function in `struct OrtApi`, and its C signature (onnxruntime_c_api.h; a slot never moves). */
const functions = {
  getErrorMessage: [2, "const char *(void *status)"],
  createEnv: [3, "void *(int severity, const char *id, _Out_ void **env)"],
  createSessionFromArray: [8, "void *(void *env, void *model, size_t bytes, void *options, _Out_ void **session)"],
  run: [
    9,
    "void *(void *session, void *options, void *inputNames, void *inputs, size_t n, void *outputNames, size_t m, void *outputs)",
  ],
  createSessionOptions: [10, "void *(_Out_ void **options)"],
  setIntraOpNumThreads: [24, "void *(void *options, int threads)"],
  createCustomOpDomain: [26, "void *(const char *name, _Out_ void **domain)"],
  customOpDomainAdd: [27, "void *(void *domain, void *op)"],
  addCustomOpDomain: [28, "void *(void *options, void *domain)"],
  createTensorWithData: [
    49,
    "void *(void *memory, uintptr_t data, size_t bytes, int64_t *shape, size_t rank, int type, _Out_ void **value)",
  ],
  createRunOptions: [39, "void *(_Out_ void **options)"],
  createMemoryInfo: [68, "void *(const char *name, int allocator, int device, int type, _Out_ void **info)"],
  createCpuMemoryInfo: [69, "void *(int allocator, int type, _Out_ void **info)"],
  releaseStatus: [93, "void (void *status)"],
  releaseMemoryInfo: [94, "void (void *info)"],
  releaseSession: [95, "void (void *session)"],
  releaseValue: [96, "void (uintptr_t value)"],
  releaseRunOptions: [97, "void (void *options)"],
  releaseSessionOptions: [100, "void (void *options)"],
  releaseCustomOpDomain: [101, "void (void *domain)"],
  addSessionConfigEntry: [130, "void *(void *options, const char *key, const char *value)"],
  releaseAllocator: [132, "void (void *allocator)"],
  addRunConfigEntry: [165, "void *(void *options, const char *key, const char *value)"],
  appendCuda: [204, "void *(void *options, void *cuda)"],
  createCudaOptions: [205, "void *(_Out_ void **cuda)"],
  updateCudaOptions: [206, "void *(void *cuda, void *keys, void *values, size_t count)"],
  releaseCudaOptions: [208, "void (void *cuda)"],
  createOpAttr: [211, "void *(const char *name, void *data, int length, int type, _Out_ void **attribute)"],
  releaseOpAttr: [212, "void (void *attribute)"],
  createOp: [
    213,
    "void *(void *info, const char *op, const char *domain, int version, void *typeNames, void *typeValues, int types, void *attributes, int count, int inputs, int outputs, _Out_ void **made)",
  ],
  invokeOp: [214, "void *(void *context, uintptr_t op, uintptr_t inputs, int n, uintptr_t outputs, int m)"],
  releaseOp: [215, "void (uintptr_t op)"],
  copyKernelInfo: [217, "void *(void *info, _Out_ void **copy)"],
  releaseKernelInfo: [218, "void (void *info)"],
  updateCudaOptionsWithValue: [263, "void *(void *cuda, const char *key, uintptr_t value)"],
  setDeterministicCompute: [273, "void *(void *options, bool value)"],
  kernelInfoGetAllocator: [278, "void *(void *info, int type, _Out_ void **allocator)"],
  getKeyValue: [297, "const char *(void *pairs, const char *key)"],
  releaseKeyValuePairs: [300, "void (void *pairs)"],
  allocatorGetStats: [319, "void *(void *allocator, _Out_ void **pairs)"],
} as const;

export type Api = { readonly [K in keyof typeof functions]: (...args: unknown[]) => unknown };

export const opStruct = koffi.struct({
  version: "uint32_t",
  CreateKernel: "void *",
  GetName: "void *",
  GetExecutionProviderType: "void *",
  GetInputType: "void *",
  GetInputTypeCount: "void *",
  GetOutputType: "void *",
  GetOutputTypeCount: "void *",
  KernelCompute: "void *",
  KernelDestroy: "void *",
  GetInputCharacteristic: "void *",
  GetOutputCharacteristic: "void *",
  GetInputMemoryType: "void *",
  GetVariadicInputMinArity: "void *",
  GetVariadicInputHomogeneity: "void *",
  GetVariadicOutputMinArity: "void *",
  GetVariadicOutputHomogeneity: "void *",
  CreateKernelV2: "void *",
  KernelComputeV2: "void *",
  InferOutputShapeFn: "void *",
  GetStartVersion: "void *",
  GetEndVersion: "void *",
  GetMayInplace: "void *",
  ReleaseMayInplace: "void *",
  GetAliasMap: "void *",
  ReleaseAliasMap: "void *",
});

/** What must outlive every call into the library: koffi unloads what the collector takes. */
export const kept: unknown[] = [];

export function callback(signature: string, implementation: (...args: never[]) => unknown): Pointer {
  const pointer = koffi.register(implementation, koffi.pointer(koffi.proto(signature)));
  kept.push(pointer, implementation);
  return koffi.address(pointer) as Pointer;
}

/** A C string that is never freed (there are a few hundred names in all); equal strings share one. */
const strings = new Map<string, Buffer>();

export function cString(text: string): Pointer {
  let bytes = strings.get(text);
  if (!bytes) {
    bytes = Buffer.from(`${text}\0`);
    strings.set(text, bytes);
  }
  return koffi.address(bytes) as Pointer;
}

interface Library {
  readonly api: Api;
  readonly env: Pointer;
  readonly version: string;
}

let loaded: Library | undefined;

/** ONNX Runtime's C API; loaded once in a process. It would tell Microsoft of processes, sessions and models: not here. */
export function library(): Library {
  if (loaded) return loaded;
  process.env.ORT_DISABLE_TELEMETRY = "1"; // read when the environment is made (1.29: nothing is looked up, sent or kept)
  const lib = koffi.load(ortLibrary());
  const base = koffi.decode(
    lib.func("void *OrtGetApiBase()")(),
    koffi.struct({ getApi: "void *", getVersion: "void *" }),
  );
  const version = koffi.decode(base.getVersion, koffi.proto("const char *()"))() as string;
  const table = koffi.decode(base.getApi, koffi.proto("void *(uint32_t version)"))(23);
  if (!table) throw new Error(`ONNX Runtime ${version} is too old: ${ortLibrary()}`);
  const count = Math.max(...Object.values(functions).map(([slot]) => slot)) + 1;
  const slots = koffi.decode(table, koffi.array("void *", count)) as unknown[];
  const api = Object.fromEntries(
    Object.entries(functions).map(([name, [slot, signature]]) => [
      name,
      koffi.decode(slots[slot], koffi.proto(signature)),
    ]),
  ) as unknown as Api;
  kept.push(lib, table, slots, api);
  loaded = { api, env: made(api, (out) => api.createEnv(3, "mutwo", out)), version };
  return loaded;
}

/** What ONNX Runtime says of a failure without the place in its sources, the function and the condition. */
export function plainWords(message: string): string {
  const [line = ""] = message.split("\n");
  const said = line
    .replace(/^.*\.(?:cc|h|cpp|cu|hpp):\d+ .* was false\. ?/, "")
    .replace(/^.*\.(?:cc|h|cpp|cu|hpp):\d+ .*?\) (?:const )?(?=[A-Z])/, "")
    .replace(/^(?:Non-zero status code.*Status Message: |Exception during initialization: )/, "")
    .trim();
  const [, index] = /\b(?:idx|index|indice) ?= ?(-?\d+)/.exec(said) ?? [];
  if (index !== undefined) return `index out of range: ${index}`;
  const isForeign = said === "" || /::|\.(?:cc|h|cpp|cu|hpp):\d|std:|bad_alloc|onnxruntime|T !=/.test(said);
  if (!isForeign) return said;
  return /bad_alloc|[Aa]lloc/.test(line) ? "ONNX Runtime lacks memory for it" : "ONNX Runtime refuses it";
}

/** Throws what a status says in plain words, and frees it; null is success. */
export function check(api: Api, status: unknown): void {
  if (!status) return;
  const message = api.getErrorMessage(status) as string;
  api.releaseStatus(status);
  throw new Error(plainWords(message));
}

/** What a function of the API gives out through its last parameter. Throws what its status says. */
export function made(api: Api, make: (out: [null]) => unknown): Pointer {
  const out: [null] = [null];
  check(api, make(out));
  return out[0] as unknown as Pointer;
}

/** ONNX Runtime's version. */
export const ortVersion = (): string => library().version;

/** Pointers in native memory that stays where it is: the collector moves small typed arrays without an ArrayBuffer. */
export function pointerArray(values: readonly Pointer[]): BigUint64Array {
  const array = new BigUint64Array(new ArrayBuffer(8 * values.length));
  array.set(values);
  return array;
}
