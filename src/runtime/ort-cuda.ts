import { type Api, callback, check, cString, made, type Pointer, pointerArray } from "./ort-api.js";

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
  /** Waits for the stream. */
  readonly wait: () => void;
  /** Device memory of at least 8 bytes that outlives the session. */
  readonly scratch: Pointer;
}

/** Puts the CUDA provider into session options. Throws what ONNX Runtime says if its library cannot be loaded. */
export function useCuda(api: Api, sessionOptions: Pointer, cuda: CudaProvider): void {
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
  const provider = made(api, (out) => api.createCudaOptions(out));
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
