import koffi from "koffi";
import { NodeError } from "../graph/errors.js";
import { type Attribute, type DType, onnxNumbers, type TensorType } from "../graph/graph.js";
import { type Api, callback, check, cString, kept, library, opStruct, type Pointer, pointerArray } from "./ort-api.js";

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

export interface OpRequest {
  /** Name of the node that asks, for messages. */
  readonly node: string;
  readonly op: string;
  readonly domain: string;
  /** Type-constraint names of the kernel with element types. */
  readonly types: ReadonlyMap<string, DType>;
  readonly attributes: Readonly<Record<string, Attribute>>;
  readonly inputCount: number;
  readonly outputCount: number;
  /** Opset that brought the op, where it is later than 18. */
  readonly since: number | undefined;
}

/** A model of one node, `Host(x) -> y` in domain mutwo.host, written out as protobuf. */
function hostModel(): Buffer {
  const field = (tag: number, wire: number, bytes: Buffer): Buffer =>
    Buffer.concat([Buffer.from([(tag << 3) | wire]), bytes]);
  const bytes = (tag: number, ...parts: Buffer[]): Buffer => {
    const all = Buffer.concat(parts);
    return field(tag, 2, Buffer.concat([Buffer.from([all.length]), all]));
  };
  const text = (tag: number, value: string): Buffer => bytes(tag, Buffer.from(value));
  const number = (tag: number, value: number): Buffer => field(tag, 0, Buffer.from([value]));
  const scalar = (tag: number, name: string): Buffer =>
    bytes(tag, text(1, name), bytes(2, bytes(1, number(1, 1), bytes(2, bytes(1, number(1, 1))))));
  const node = bytes(1, text(1, "x"), text(2, "y"), text(4, "Host"), text(7, "mutwo.host"));
  return Buffer.concat([
    number(1, 8),
    bytes(7, node, text(2, "host"), scalar(11, "x"), scalar(12, "y")),
    bytes(8, text(1, ""), number(2, 18)),
    bytes(8, text(1, "mutwo.host"), number(2, 1)),
  ]);
}

export interface KernelOptions {
  /** Threads of the CPU provider. */
  readonly threads: number;
  /** The CUDA provider instead. */
  readonly cuda?: CudaProvider;
}

/** How kernels run on a GPU. */
export interface CudaProvider {
  readonly device: number;
  /** The stream in which all kernels are launched. */
  readonly stream: Pointer;
  /** Matrix products and convolutions may round their inputs to TF32. */
  readonly tf32: boolean;
  /** Only kernels that give the same bits each time, where there is a choice. */
  readonly deterministic: boolean;
  /** Device memory that kernels take for themselves. */
  readonly allocate: (bytes: number) => Pointer;
  readonly free: (memory: Pointer) => void;
  /** Device memory of at least 8 bytes that outlives the session. */
  readonly scratch: Pointer;
}

/** The one op of ours, for all sessions: calls arrive while a session is made or run, one at a time. */
interface Host {
  readonly struct: unknown;
  /** Name of the provider that the op is to be placed on; null is the CPU's. */
  provider: Pointer | null;
  onKernel: (info: Pointer) => void;
  onCompute: (context: Pointer) => void;
}

let knownHost: Host | undefined;

function hostOp(): Host {
  if (knownHost) return knownHost;
  const struct = koffi.alloc(opStruct, 1);
  const host: Host = { struct, provider: null, onKernel: () => {}, onCompute: () => {} };
  const name = cString("Host");
  koffi.encode(struct, opStruct, {
    ...Object.fromEntries(Object.keys(opStruct.members ?? {}).map((member) => [member, null])),
    version: 16,
    CreateKernel: callback("void *(void *op, void *api, void *info)", (_op: Pointer, _api: Pointer, info: Pointer) => {
      host.onKernel(info);
      return 1n;
    }),
    GetName: callback("void *(void *op)", () => name),
    GetExecutionProviderType: callback("void *(void *op)", () => host.provider),
    GetInputType: callback("int (void *op, size_t index)", () => 1),
    GetInputTypeCount: callback("size_t (void *op)", () => 1),
    GetOutputType: callback("int (void *op, size_t index)", () => 1),
    GetOutputTypeCount: callback("size_t (void *op)", () => 1),
    KernelCompute: callback("void (void *kernel, void *context)", (_kernel: Pointer, context: Pointer) =>
      host.onCompute(context),
    ),
    KernelDestroy: callback("void (void *kernel)", () => {}),
    GetInputCharacteristic: callback("int (void *op, size_t index)", () => 0),
    GetOutputCharacteristic: callback("int (void *op, size_t index)", () => 0),
    GetInputMemoryType: callback("int (void *op, size_t index)", () => 0),
    GetStartVersion: callback("int (void *op)", () => 1),
    GetEndVersion: callback("int (void *op)", () => 0x7fffffff),
  });
  kept.push(struct);
  knownHost = host;
  return host;
}

/** Puts the CUDA provider into session options. Throws what ONNX Runtime says if its library cannot be loaded. */
function useCuda(api: Api, sessionOptions: Pointer, cuda: CudaProvider): void {
  const ok = (status: unknown): void => check(api, status);
  const allocate = callback("void *(size_t bytes)", (bytes: number | bigint) => cuda.allocate(Number(bytes)));
  const free = callback("void (void *memory)", (memory: Pointer) => cuda.free(memory));
  const nothing = callback("void ()", () => {});
  const settings: Record<string, string> = {
    device_id: String(cuda.device),
    use_tf32: cuda.tf32 ? "1" : "0",
    cudnn_conv_algo_search: "EXHAUSTIVE",
    cudnn_conv_use_max_workspace: "1",
    gpu_external_alloc: String(allocate),
    gpu_external_free: String(free),
    gpu_external_empty_cache: String(nothing),
  };
  const out: [null] = [null];
  ok(api.createCudaOptions(out));
  const provider = out[0] as unknown as Pointer;
  try {
    const keys = pointerArray(Object.keys(settings).map(cString));
    const values = pointerArray(Object.values(settings).map(cString));
    ok(api.updateCudaOptions(provider, keys, values, keys.length));
    ok(api.updateCudaOptionsWithValue(provider, "user_compute_stream", cuda.stream));
    ok(api.addSessionConfigEntry(sessionOptions, "session.disable_cpu_ep_fallback", "1"));
    ok(api.setDeterministicCompute(sessionOptions, cuda.deterministic));
    ok(api.appendCuda(sessionOptions, provider));
  } finally {
    api.releaseCudaOptions(provider);
  }
}

/**
 * Opens a session on the CPU or CUDA provider that holds a single op of ours. Inside that op's compute callback native
 * kernels can be called one by one, on memory of our own, in any order.
 */
export function openKernels(options: KernelOptions): Kernels {
  const { api, env } = library();
  const { cuda } = options;
  const ok = (status: unknown): void => check(api, status);
  const made = (make: (out: [null]) => unknown): Pointer => {
    const out: [null] = [null];
    ok(make(out));
    return out[0] as unknown as Pointer;
  };
  const host = hostOp();
  let info: Pointer = 0n;
  host.onKernel = (given) => {
    info = made((out) => api.copyKernelInfo(given, out));
  };
  host.provider = cuda ? cString("CUDAExecutionProvider") : null;
  const domain = made((out) => api.createCustomOpDomain("mutwo.host", out));
  ok(api.customOpDomainAdd(domain, host.struct));
  const sessionOptions = made((out) => api.createSessionOptions(out));
  ok(api.addCustomOpDomain(sessionOptions, domain));
  ok(api.setIntraOpNumThreads(sessionOptions, options.threads));
  if (cuda) useCuda(api, sessionOptions, cuda);
  const runOptions = made((out) => api.createRunOptions(out));
  if (cuda) ok(api.addRunConfigEntry(runOptions, "disable_synchronize_execution_providers", "1"));
  const model = hostModel();
  const session = made((out) => api.createSessionFromArray(env, model, model.length, sessionOptions, out));
  const onHost = made((out) => api.createCpuMemoryInfo(0, 0, out));
  const onDevice = cuda ? made((out) => api.createMemoryInfo("Cuda", 0, cuda.device, 0, out)) : onHost;
  const ends = new Float32Array(new ArrayBuffer(8)); // an ArrayBuffer of its own stays where it is
  const at = (index: number): Pointer => (cuda?.scratch ?? (koffi.address(ends) as Pointer)) + BigInt(4 * index);
  const value = (address: Pointer, bytes: number, type: TensorType, place: "device" | "host" = "device"): Pointer =>
    made((out) =>
      api.createTensorWithData(
        place === "host" ? onHost : onDevice,
        address,
        bytes,
        BigInt64Array.from(type.shape.map(BigInt)),
        type.shape.length,
        onnxNumbers[type.dtype],
        out,
      ),
    );
  const x = value(at(0), 4, { dtype: "float32", shape: [1] });
  const y = value(at(1), 4, { dtype: "float32", shape: [1] });
  const [xName, yName] = [pointerArray([cString("x")]), pointerArray([cString("y")])];
  const [xValue, yValue] = [pointerArray([x]), pointerArray([y])];
  const allocator = made((out) => api.kernelInfoGetAllocator(info, 0, out));
  const stat = (pairs: Pointer, key: string): number => Number(api.getKeyValue(pairs, key) ?? Number.NaN);
  return {
    createValue: value,
    releaseValue: (pointer) => void api.releaseValue(pointer),
    createOp: (request) => createOp(api, info, request, cuda ? knownVersions.cuda : knownVersions.cpu),
    releaseOp: (op) => void api.releaseOp(op),
    within<T>(work: (invoke: Invoke) => T): T {
      let result: { value: T } | { error: unknown } | undefined;
      host.onCompute = (context) => {
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
      ok(api.run(session, runOptions, xName, xValue, 1, yName, 1, yValue));
      if (!result) throw new Error("the host op was not called");
      if ("error" in result) throw result.error;
      return result.value;
    },
    allocations() {
      const pairs = made((out) => api.allocatorGetStats(allocator, out));
      const found = { inUse: stat(pairs, "InUse"), maxInUse: stat(pairs, "MaxInUse") };
      api.releaseKeyValuePairs(pairs);
      return Number.isFinite(found.inUse) && Number.isFinite(found.maxInUse) ? found : null;
    },
    close() {
      if (cuda) {
        // a run that synchronises: what kernels left to be freed in a callback of the stream is freed before the session,
        // because CUDA forbids to free the allocator itself there
        host.onCompute = () => {};
        api.releaseStatus(api.run(session, null, xName, xValue, 1, yName, 1, yValue));
      }
      if (ends.length !== 2) throw new Error("closed twice"); // keeps the memory of x and y reachable until now
      api.releaseAllocator(allocator);
      api.releaseValue(x);
      api.releaseValue(y);
      api.releaseKernelInfo(info);
      api.releaseSession(session);
      api.releaseRunOptions(runOptions);
      api.releaseSessionOptions(sessionOptions);
      api.releaseCustomOpDomain(domain);
      if (cuda) api.releaseMemoryInfo(onDevice);
      api.releaseMemoryInfo(onHost);
    },
  };
}

/** Since-versions to try: those of opset 18 first, newest first, then the newer ones. */
const versions = [...Array.from({ length: 18 }, (_, i) => 18 - i), 19, 20, 21];

/** Version of each kernel that was found, by provider. */
const knownVersions = { cpu: new Map<string, number>(), cuda: new Map<string, number>() };

function createOp(api: Api, info: Pointer, request: OpRequest, knownVersion: Map<string, number>): Pointer {
  const attributes: Pointer[] = [];
  try {
    for (const [name, attribute] of Object.entries(request.attributes))
      attributes.push(createAttribute(api, name, attribute));
    const names = BigUint64Array.from([...request.types.keys()].map(cString));
    const values = Int32Array.from([...request.types.values()].map((dtype) => onnxNumbers[dtype]));
    const list = BigUint64Array.from(attributes);
    const key = `${request.domain}:${request.op}(${[...request.types].join(";")})`;
    const known = knownVersion.get(key);
    let reason = "";
    for (const version of known ? [known] : [...(request.since ? [request.since] : []), ...versions]) {
      const out: [null] = [null];
      const status = api.createOp(
        info,
        request.op,
        request.domain,
        version,
        names,
        values,
        values.length,
        list,
        list.length,
        request.inputCount,
        request.outputCount,
        out,
      );
      if (!status) {
        knownVersion.set(key, version);
        return out[0] as unknown as Pointer;
      }
      const message = api.getErrorMessage(status) as string;
      api.releaseStatus(status);
      if (!reason || !/not found/i.test(message)) reason = message;
    }
    const types = [...request.types].map(([name, dtype]) => `${name}=${dtype}`).join(" ");
    throw new NodeError(
      `no kernel: ${request.op} ${types}: ${reason.split("\n")[0]}`,
      { name: request.node },
      { kind: "no kernel" },
    );
  } finally {
    for (const attribute of attributes) api.releaseOpAttr(attribute);
  }
}

/** OrtOpAttrType: int 1, ints 2, float 3, floats 4, string 5, strings 6. */
function createAttribute(api: Api, name: string, attribute: Attribute): Pointer {
  const make = (data: unknown, length: number, type: number): Pointer => {
    const out: [null] = [null];
    check(api, api.createOpAttr(name, data, length, type, out));
    return out[0] as unknown as Pointer;
  };
  switch (attribute.type) {
    case "int":
      return make(BigInt64Array.of(BigInt(attribute.value)), 1, 1);
    case "ints":
      return make(BigInt64Array.from(attribute.value.map(BigInt)), attribute.value.length, 2);
    case "float":
      return make(Float32Array.of(attribute.value), 1, 3);
    case "floats":
      return make(Float32Array.from(attribute.value), attribute.value.length, 4);
    case "string": {
      const bytes = Buffer.from(attribute.value);
      return make(bytes, bytes.length, 5);
    }
    case "strings":
      return make(BigUint64Array.from(attribute.value.map(cString)), attribute.value.length, 6);
    case "tensor":
      throw new Error(`a kernel cannot take a tensor attribute: ${name}`);
  }
}
