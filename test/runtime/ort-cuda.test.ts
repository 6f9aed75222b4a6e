import assert from "node:assert/strict";
import { test } from "node:test";
import koffi from "koffi";
import type { Api, Pointer } from "../../src/runtime/ort-api.js";
import { type CudaProvider, useCuda } from "../../src/runtime/ort-cuda.js";

/** Calls of the API that a provider's settings make, as texts; `fails` names one that refuses. */
function calls(provider: Partial<CudaProvider>, fails?: string) {
  const lines: string[] = [];
  const texts = (array: BigUint64Array): string[] => [...array].map((at) => koffi.decode(at, "char", -1) as string);
  const api = new Proxy(
    {},
    {
      get:
        (_, name: string) =>
        (...given: unknown[]): unknown => {
          if (name === "getErrorMessage") return given[0];
          if (name === "createCudaOptions") (given[0] as unknown[])[0] = 5n;
          const shown = given.map((one) => (one instanceof BigUint64Array ? texts(one).join(",") : String(one)));
          lines.push(`${name} ${shown.join(" ")}`);
          return name === fails ? "refused" : null;
        },
    },
  ) as Api;
  const settings: CudaProvider = {
    device: 1,
    stream: 77n as Pointer,
    tf32: true,
    deterministic: false,
    allocate: () => 0n,
    free: () => {},
    wait: () => {},
    scratch: 0n,
    ...provider,
  };
  const use = () => useCuda(api, 9n, settings);
  return { lines, use };
}

test("useCuda(api, options, provider) sets device, precision, stream and determinism, then frees the settings", () => {
  const { lines, use } = calls({ tf32: false, deterministic: true });
  use();
  const [created = "", updated = "", ...others] = lines;
  assert.match(created, /^createCudaOptions /);
  const [, , keys = "", values = "", count] = updated.split(" ");
  const settings = Object.fromEntries(keys.split(",").map((key, i) => [key, values.split(",")[i]]));
  assert.equal(Number(count), Object.keys(settings).length);
  const { gpu_external_alloc: alloc, gpu_external_free: free, gpu_external_empty_cache: empty, ...plain } = settings;
  assert.deepEqual(plain, {
    device_id: "1",
    use_tf32: "0",
    cudnn_conv_algo_search: "EXHAUSTIVE",
    cudnn_conv_use_max_workspace: "1",
  });
  assert.equal(new Set([alloc, free, empty]).size, 3);
  assert.deepEqual(others, [
    "updateCudaOptionsWithValue 5 user_compute_stream 77",
    "addSessionConfigEntry 9 session.disable_cpu_ep_fallback 1",
    "setDeterministicCompute 9 true",
    "appendCuda 9 5",
    "releaseCudaOptions 5",
  ]);
});

test("useCuda(api, options, provider) frees the settings where the provider cannot be loaded", () => {
  const { lines, use } = calls({}, "appendCuda");
  assert.throws(use, { message: "refused" });
  assert.equal(lines.at(-1), "releaseCudaOptions 5");
});
