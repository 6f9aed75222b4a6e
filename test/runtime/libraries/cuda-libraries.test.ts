import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { findCudaLibraries, lookForCuda, preloadCuda } from "../../../src/runtime/libraries/cuda-libraries.js";
import type { Machine } from "../../../src/runtime/libraries/cuda-places.js";
import { elf } from "./elf-bytes.js";

const root = mkdtempSync(path.join(tmpdir(), "mutwo-cuda-"));

/** A folder with libraries: by name, what each needs. */
function folder(name: string, libraries: Readonly<Record<string, readonly string[]>>): string {
  const place = path.join(root, name);
  mkdirSync(place, { recursive: true });
  for (const [library, needed] of Object.entries(libraries))
    writeFileSync(path.join(place, library), elf(library, needed));
  return place;
}

const machine = (env: Machine["env"], system: readonly string[] = [], python: readonly string[] = []): Machine => ({
  env,
  systemFolders: () => system,
  pythonFolders: () => python,
  byLoader: () => undefined,
});

const ort = folder("ort", {
  "libonnxruntime.so.1": [],
  "libonnxruntime_providers_shared.so": [],
  "libonnxruntime_providers_cuda.so": ["libcublas.so.13", "libcudart.so.13", "libcuda.so.1", "libc.so.6"],
});

const driver = folder("driver", { "libcuda.so.1": ["libnvidia-ptx.so.1"] });

const toolkit = folder("toolkit", {
  "libcudart.so.13": ["libc.so.6"],
  "libcublas.so.13": ["libcublasLt.so.13", "libcudart.so.13"],
  "libcublasLt.so.13": [],
});

const cudnn = folder("site-packages/nvidia/cudnn/lib", { "libcudnn.so.9": [] });

const ORT_LIBRARY = path.join(ort, "libonnxruntime.so.1");

test("findCudaLibraries(…) finds libraries in toolkits and Python packages, and loads each after what it needs", {
  skip: process.platform !== "linux" && "for Linux",
}, () => {
  const parts = lookForCuda({ machine: machine({ ORT_LIBRARY }, [driver, toolkit], [cudnn]) });
  assert.deepEqual(findCudaLibraries(parts), {
    cudaMajor: 13,
    ortLibrary: ORT_LIBRARY,
    providerFolder: ort,
    driver: path.join(driver, "libcuda.so.1"),
    cudart: path.join(toolkit, "libcudart.so.13"),
    cudnn: path.join(cudnn, "libcudnn.so.9"),
    nvrtc: undefined,
    preload: [
      path.join(driver, "libcuda.so.1"),
      path.join(toolkit, "libcudart.so.13"),
      path.join(toolkit, "libcublasLt.so.13"),
      path.join(toolkit, "libcublas.so.13"),
      path.join(cudnn, "libcudnn.so.9"),
    ],
  });
});

test("findCudaLibraries(…) loads what the run-time compiler opens by name alone before it", {
  skip: process.platform !== "linux" && "for Linux",
}, () => {
  const nvrtc = folder("site-packages/nvidia/cu13/lib", {
    "libnvrtc.so.13": [],
    "libnvrtc-builtins.so.13.0": [],
    "libnvrtc-builtins.alt.so.13.0": [],
  });
  const parts = lookForCuda({ machine: machine({ ORT_LIBRARY }, [driver, toolkit], [cudnn, nvrtc]) });
  assert.deepEqual(findCudaLibraries(parts).preload.slice(-3), [
    path.join(nvrtc, "libnvrtc-builtins.so.13.0"),
    path.join(nvrtc, "libnvrtc.so.13"),
    path.join(cudnn, "libcudnn.so.9"),
  ]);
});

test("lookForCuda(…): variables win over LD_LIBRARY_PATH, which wins over the system, which wins over Python", () => {
  const places = Object.fromEntries(
    ["chosen", "path", "system", "python"].map((name) => [
      name,
      folder(name, { "libcudnn.so.9": [], "libcurand.so.10": [] }),
    ]),
  ) as Record<"chosen" | "path" | "system" | "python", string>;
  const found = (env: Machine["env"], system: readonly string[]): string | undefined =>
    lookForCuda({ machine: machine({ ORT_LIBRARY, ...env }, system, [places.python]) }).cudnn.file;
  const CUDNN_LIBRARY = path.join(places.chosen, "libcudnn.so.9");
  const LD_LIBRARY_PATH = `/nowhere:${places.path}`;
  assert.equal(found({ CUDNN_LIBRARY, LD_LIBRARY_PATH }, [places.system]), CUDNN_LIBRARY);
  assert.equal(found({ LD_LIBRARY_PATH }, [places.system]), path.join(places.path, "libcudnn.so.9"));
  assert.equal(found({}, [places.system]), path.join(places.system, "libcudnn.so.9"));
  assert.equal(found({}, []), path.join(places.python, "libcudnn.so.9"));
});

test("lookForCuda(…) takes the CUDA that the provider was built for", () => {
  const twelve = folder("ort12", {
    "libonnxruntime.so.1": [],
    "libonnxruntime_providers_shared.so": [],
    "libonnxruntime_providers_cuda.so": ["libcufft.so.11", "libcudart.so.12"],
  });
  const parts = lookForCuda({
    cudaMajor: 13,
    machine: machine({ ORT_LIBRARY: path.join(twelve, "libonnxruntime.so.1") }, [toolkit]),
  });
  assert.equal(parts.cudaMajor, 12);
  assert.deepEqual(parts.others, [{ name: "libcufft.so.11", problem: "not found" }]);
  assert.deepEqual(parts.cudart, {
    name: "libcudart.so.12",
    problem: `not found, only another version: ${toolkit}/libcudart.so.13`,
  });
  assert.equal(parts.nvrtc.name, "libnvrtc.so.12");
});

const missing: readonly (readonly [what: string, env: Machine["env"], system: readonly string[], message: RegExp])[] = [
  ["a driver", { ORT_LIBRARY }, [toolkit, cudnn], /: libcuda\.so\.1 not found \(install NVIDIA's driver\)$/],
  [
    "cuDNN",
    { ORT_LIBRARY },
    [driver, toolkit],
    /: libcudnn\.so\.9 not found \(pip install nvidia-cudnn-cu13 or apt install libcudnn9-cuda-13\)$/,
  ],
  [
    "a library that a library needs",
    { ORT_LIBRARY },
    [driver, cudnn, folder("half", { "libcudart.so.13": [], "libcublas.so.13": ["libcublasLt.so.13"] })],
    /: libcublasLt\.so\.13 not found \(pip install nvidia-cublas/,
  ],
  [
    "a provider beside ORT_LIBRARY",
    { ORT_LIBRARY: path.join(folder("core", { "libonnxruntime.so.1": [] }), "libonnxruntime.so.1") },
    [driver, toolkit, cudnn],
    /libonnxruntime_providers_cuda\.so not beside ORT_LIBRARY: .*core .*\(.*run mutwo cuda install/,
  ],
  [
    "what ORT_LIBRARY names",
    { ORT_LIBRARY: "/nowhere/libonnxruntime.so.1" },
    [driver, toolkit, cudnn],
    /ORT_LIBRARY is not there: \/nowhere\/libonnxruntime\.so\.1/,
  ],
  [
    "what CUDART_LIBRARY names",
    { ORT_LIBRARY, CUDART_LIBRARY: "/nowhere/x" },
    [driver, toolkit, cudnn],
    /libcudart\.so\.13 CUDART_LIBRARY is not there: \/nowhere\/x/,
  ],
  [
    "the library that CUDNN_LIBRARY is meant to name",
    { ORT_LIBRARY, CUDNN_LIBRARY: path.join(toolkit, "libcublas.so.13") },
    [driver, toolkit, cudnn],
    /libcudnn\.so\.9 CUDNN_LIBRARY is another library: libcublas\.so\.13 \(.*toolkit\/libcublas\.so\.13\)/,
  ],
  [
    "a library in what CUDNN_LIBRARY names",
    { ORT_LIBRARY, CUDNN_LIBRARY: __filename },
    [driver, toolkit, cudnn],
    /libcudnn\.so\.9 CUDNN_LIBRARY is not a shared library: /,
  ],
];

for (const [what, env, system, message] of missing)
  test(`findCudaLibraries(…) without ${what}: one line that says so`, {
    skip: process.platform !== "linux" && "for Linux",
  }, () => {
    assert.throws(
      () => findCudaLibraries(lookForCuda({ machine: machine(env, system) })),
      (error: Error) => {
        assert.match(error.message, /^the cuda backend cannot start: /);
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
    );
  });

test("lookForCuda(…) with a provider that is no library looks for what providers usually need", () => {
  const broken = folder("broken", { "libonnxruntime.so.1": [], "libonnxruntime_providers_shared.so": [] });
  writeFileSync(path.join(broken, "libonnxruntime_providers_cuda.so"), "half of it");
  const parts = lookForCuda({ machine: machine({ ORT_LIBRARY: path.join(broken, "libonnxruntime.so.1") }) });
  assert.deepEqual(
    parts.others.map(({ name }) => name),
    ["libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10"],
  );
});

test("lookForCuda(…).folders are all that were searched", () => {
  const { folders } = lookForCuda({
    machine: machine({ ORT_LIBRARY, LD_LIBRARY_PATH: "/one:/two", CUDA_HOME: "/home" }, ["/three"], ["/four"]),
  });
  assert.deepEqual(folders, ["/one", "/two", "/home/lib64", "/home/lib", ort, "/three", "/four"]);
});

test("preloadCuda(…) names the library that cannot be loaded", () => {
  const file = path.join(root, "libbroken.so");
  writeFileSync(file, "no library");
  assert.throws(() => preloadCuda({ preload: [file], ortLibrary: file }), /^Error: cannot load .*libbroken\.so: /);
});
