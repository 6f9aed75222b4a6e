import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { checkDriver, cudaVersion } from "../../../src/runtime/libraries/cuda-facts.js";
import { findCudaLibraries, lookForCuda, preloadCuda } from "../../../src/runtime/libraries/cuda-libraries.js";
import { installCommands, type Machine, nvidiaFolders } from "../../../src/runtime/libraries/cuda-places.js";
import { readElf } from "../../../src/runtime/libraries/elf.js";
import { bundledLibrary } from "../../../src/runtime/libraries/ort-library.js";

const root = mkdtempSync(path.join(tmpdir(), "mutwo-cuda-"));

/** The bytes of a 64-bit library that says of itself what it is called and what it needs, and nothing else. */
function elf(soname: string, needed: readonly string[] = []): Buffer {
  const strings = Buffer.from(["", soname, ...needed, ""].join("\0"));
  const entries: [number, number][] = [soname, ...needed].map((name, i) => [
    i ? 1 : 14,
    strings.indexOf(`\0${name}\0`) + 1,
  ]);
  const base = 0x1000; // addresses are not offsets
  const [dynamicAt, dynamicBytes] = [64 + 2 * 56, 16 * (entries.length + 2)];
  const stringsAt = dynamicAt + dynamicBytes;
  const file = Buffer.alloc(stringsAt + strings.length);
  file.write("\x7fELF\x02\x01\x01", "latin1");
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(2, 56);
  [[1, 0, file.length] as const, [2, dynamicAt, dynamicBytes] as const].forEach(([type, offset, bytes], i) => {
    const at = 64 + 56 * i;
    file.writeUInt32LE(type, at);
    file.writeBigUInt64LE(BigInt(offset), at + 8);
    file.writeBigUInt64LE(BigInt(base + offset), at + 16);
    file.writeBigUInt64LE(BigInt(bytes), at + 32);
  });
  [[5, base + stringsAt] as const, ...entries, [0, 0] as const].forEach(([tag, value], i) => {
    file.writeBigUInt64LE(BigInt(tag), dynamicAt + 16 * i);
    file.writeBigUInt64LE(BigInt(value), dynamicAt + 16 * i + 8);
  });
  strings.copy(file, stringsAt);
  return file;
}

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

test("readElf(file) reads name and needs of a library, made up or real", () => {
  const place = path.join(root, "libtest.so.1");
  writeFileSync(place, elf("libtest.so.1", ["libone.so.2", "libtwo.so"]));
  assert.deepEqual(readElf(place), { soname: "libtest.so.1", needed: ["libone.so.2", "libtwo.so"] });
  if (process.platform === "linux") {
    const { soname, needed } = readElf(bundledLibrary());
    assert.equal(soname, "libonnxruntime.so.1");
    assert.ok(needed.includes("libstdc++.so.6"));
  }
  for (const bytes of [Buffer.from("not a library at all"), elf("libtest.so.1").subarray(0, 100), Buffer.alloc(64)]) {
    writeFileSync(place, bytes);
    assert.throws(() => readElf(place), /^Error: not a shared library: .*libtest\.so\.1 \(/);
  }
});

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

test("nvidiaFolders(places) finds the folders of pip's packages, whatever their names", () => {
  const place = path.join(root, "python");
  for (const name of ["cu13/lib", "cudnn/lib", "cudnn/include", "noLibraries"])
    mkdirSync(path.join(place, "nvidia", name), { recursive: true });
  assert.deepEqual(nvidiaFolders(["", "relative", place, "/nowhere"]), [
    path.join(place, "nvidia/cu13/lib"),
    path.join(place, "nvidia/cudnn/lib"),
  ]);
});

test("installCommands(names, cuda) names each package once", () => {
  assert.deepEqual(installCommands(["libcublas.so.12", "libcublasLt.so.12", "libcudnn.so.9", "libfoo.so"], 12), [
    "pip install nvidia-cublas-cu12 nvidia-cudnn-cu12",
    "apt install libcublas-12-8 libcudnn9-cuda-12",
  ]);
  assert.deepEqual(installCommands(["libcuda.so.1"], 13), []);
});

test("checkDriver(version, cuda) refuses a driver that is too old for it", () => {
  checkDriver(13_000, 13);
  checkDriver(13_010, 12);
  assert.throws(
    () => checkDriver(12_080, 13),
    /^Error: the driver is too old: it runs CUDA up to 12\.8, CUDA 13 needs driver 580 or newer, or run mutwo cuda install --cuda 12$/,
  );
  assert.throws(() => checkDriver(11_040, 12), /CUDA 12 needs driver 525 or newer$/);
  assert.equal(cudaVersion(12_080), "12.8");
});
