import { existsSync, readdirSync, realpathSync } from "node:fs";
import path from "node:path";
import koffi from "koffi";
import { type CudaMajor, installCommands, type Machine, thisMachine } from "./cuda-places.js";
import { type CudaPart, LibrarySearch, neededCuda } from "./library-search.js";
import { bundledLibrary, coreLibrary, holdsProvider, installedFolder, providerFiles } from "./ort-library.js";

/** What was found of all that the CUDA backend needs. */
export interface CudaParts {
  /** CUDA's major version that the provider was built for; without a provider the one that was asked for. */
  readonly cudaMajor: CudaMajor;
  readonly ort: CudaPart;
  readonly provider: CudaPart;
  readonly driver: CudaPart;
  readonly cudart: CudaPart;
  readonly cudnn: CudaPart;
  /** Optional: without it nothing is fused. */
  readonly nvrtc: CudaPart;
  /** What the provider, cuDNN and these need besides, in the order in which they can be loaded. */
  readonly others: readonly CudaPart[];
  /** Folders that were searched, in that order. */
  readonly folders: readonly string[];
}

/** Absolute paths of the libraries that the CUDA backend opens. */
export interface CudaLibraries {
  readonly cudaMajor: CudaMajor;
  /** ONNX Runtime's core library, beside the provider. */
  readonly ortLibrary: string;
  readonly providerFolder: string;
  readonly driver: string;
  readonly cudart: string;
  readonly cudnn: string;
  /** The run-time compiler; undefined where there is none. */
  readonly nvrtc: string | undefined;
  /** All that must be in the process before the provider is loaded, in that order. */
  readonly preload: readonly string[];
}

/** What the provider of the ONNX Runtime that comes with mutwo needs, to say so before it is there. */
const usualNeeds = (major: CudaMajor): string[] => [
  `libcublasLt.so.${major}`,
  `libcublas.so.${major}`,
  "libcurand.so.10",
  `libcudart.so.${major}`,
];

/**
 * Looks for everything that the CUDA backend needs: the environment's ORT_LIBRARY, CUDART_LIBRARY, CUDNN_LIBRARY and
 * NVRTC_LIBRARY first, then LD_LIBRARY_PATH, CUDA_HOME, the loader's cache, toolkits, and at last what Python packages
 * brought. `cudaMajor` says for which CUDA if there is no provider yet.
 */
export function lookForCuda(options: { cudaMajor?: CudaMajor; machine?: Machine } = {}): CudaParts {
  const machine = options.machine ?? thisMachine;
  const { env } = machine;
  const [ort, provider] = lookForProvider(env);
  const needed = provider.file ? neededCuda(provider.file) : [];
  const fromProvider = needed.map((name) => /^libcudart\.so\.(12|13)$/.exec(name)?.[1]).find(Boolean);
  const cudaMajor = fromProvider ? (Number(fromProvider) as CudaMajor) : (options.cudaMajor ?? 13);
  const [cudart, cudnn, nvrtc] = [`libcudart.so.${cudaMajor}`, "libcudnn.so.9", `libnvrtc.so.${cudaMajor}`] as const;
  const variables = { [cudart]: "CUDART_LIBRARY", [cudnn]: "CUDNN_LIBRARY", [nvrtc]: "NVRTC_LIBRARY" };
  const search = new LibrarySearch(machine, variables, [
    ...givenFolders(env, Object.values(variables)),
    ...(provider.file ? [path.dirname(provider.file)] : []),
  ]);
  const driver = search.find("libcuda.so.1");
  const order = search.loadOrder([...(needed.length ? needed : usualNeeds(cudaMajor)), cudart, cudnn]);
  const named: readonly string[] = [cudart, cudnn, nvrtc];
  return {
    cudaMajor,
    ort,
    provider,
    driver,
    cudart: search.find(cudart),
    cudnn: search.find(cudnn),
    nvrtc: search.find(nvrtc),
    others: order.filter((name) => !named.includes(name)).map((name) => search.find(name)),
    folders: search.folders,
  };
}

/** Folders that the environment names: of chosen libraries, of the loader, of a toolkit. */
function givenFolders(env: Machine["env"], variables: readonly string[]): string[] {
  const home = env.CUDA_HOME ?? env.CUDA_PATH;
  return [
    ...variables.flatMap((name) => (env[name] ? [path.dirname(path.resolve(env[name]))] : [])),
    ...(env.LD_LIBRARY_PATH ?? "").split(":").filter(Boolean),
    ...(home ? [path.join(home, "lib64"), path.join(home, "lib")] : []),
  ];
}

/** ONNX Runtime's core library and the provider beside it. */
function lookForProvider(env: Machine["env"]): [CudaPart, CudaPart] {
  const [name] = providerFiles;
  const chosen = env.ORT_LIBRARY;
  if (chosen) {
    const file = path.resolve(chosen);
    if (!existsSync(file)) {
      const problem = `ORT_LIBRARY is not there: ${chosen}`;
      return [
        { name: coreLibrary, problem },
        { name, problem },
      ];
    }
    const folder = path.dirname(file);
    return [
      { name: coreLibrary, file },
      holdsProvider(folder)
        ? { name, file: path.join(folder, name) }
        : { name, problem: `not beside ORT_LIBRARY: ${folder} (${providerFiles.join(", ")})` },
    ];
  }
  const places = [installedFolder(), path.dirname(bundledLibrary())];
  const folder = places.find(holdsProvider);
  if (folder)
    return [
      { name: coreLibrary, file: path.join(folder, coreLibrary) },
      { name, file: path.join(folder, name) },
    ];
  return [
    existsSync(bundledLibrary())
      ? { name: coreLibrary, file: bundledLibrary() }
      : { name: coreLibrary, problem: `not found: ${bundledLibrary()}` },
    { name, problem: "not installed" },
  ];
}

/** All that is missing, without what is optional. */
export const missingParts = ({ ort, provider, driver, others, cudart, cudnn }: CudaParts): CudaPart[] =>
  [ort, provider, driver, ...others, cudart, cudnn].filter(({ problem }) => problem !== undefined);

/** How to get what is missing, one step a line. */
export function remedies({ cudaMajor }: CudaParts, missing: readonly CudaPart[]): string[] {
  const names = missing.map(({ name }) => name);
  const steps: string[] = [];
  if (names.includes("libcuda.so.1")) steps.push("install NVIDIA's driver");
  if (names.includes(providerFiles[0])) steps.push("run mutwo cuda install");
  const commands = installCommands(names, cudaMajor);
  if (commands.length) steps.push(commands.join(" or "));
  return steps;
}

/** Where the CUDA backend's libraries are. Throws one line that names everything that is missing and how to get it. */
export function findCudaLibraries(parts: CudaParts = lookForCuda()): CudaLibraries {
  if (process.platform !== "linux") throw new Error(`the cuda backend needs Linux: ${process.platform}`);
  const missing = missingParts(parts);
  if (missing.length) {
    const what = missing.map(({ name, problem }) => `${name} ${problem}`).join("; ");
    const how = remedies(parts, missing).join(", ");
    throw new Error(`the cuda backend cannot start: ${what}${how ? ` (${how})` : ""}`);
  }
  const file = (part: CudaPart): string => part.file as string;
  const { ort, provider, driver, cudart, cudnn, nvrtc, others } = parts;
  return {
    cudaMajor: parts.cudaMajor,
    ortLibrary: file(ort),
    providerFolder: path.dirname(file(provider)),
    driver: file(driver),
    cudart: file(cudart),
    cudnn: file(cudnn),
    nvrtc: nvrtc.file,
    // cuDNN asks for the run-time compiler by name when it compiles kernels, and that for its own functions'
    preload: [driver, cudart, ...others, ...builtins(nvrtc), nvrtc, cudnn].flatMap((part) => part.file ?? []),
  };
}

/** What NVRTC opens by name alone when it compiles: beside it, where a Python package brought it and no loader looks. */
function builtins({ file }: CudaPart): CudaPart[] {
  const folder = file && path.dirname(realpathSync(file));
  const names = folder ? readdirSync(folder).filter((name) => /^libnvrtc-builtins\.so\.\d+\.\d+$/.test(name)) : [];
  return names.map((name) => ({ name, file: path.join(folder as string, name) }));
}

/** Flags of dlopen: at once, visible to all, never unloaded. */
const loadFlags = 0x2 | 0x100 | 0x1000;

const loaded = new Set<string>();

/**
 * Loads what the provider needs, so that the loader finds it by name wherever it lies, and ONNX Runtime itself, for as
 * long as the process lives: koffi unloads libraries at the end of a process, before the provider's own exit handlers
 * call into them. Throws `cannot load …` with the loader's message.
 */
export function preloadCuda({ preload, ortLibrary }: Pick<CudaLibraries, "preload" | "ortLibrary">): void {
  const self = koffi.load(null);
  const dlopen = self.func("void *dlopen(const char *file, int flags)");
  const dlerror = self.func("const char *dlerror()");
  for (const file of [...preload, ortLibrary]) {
    if (loaded.has(file)) continue;
    if (!dlopen(file, loadFlags)) throw new Error(`cannot load ${file}: ${String(dlerror()).split("\n")[0]}`);
    loaded.add(file);
  }
}
