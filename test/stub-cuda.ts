import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { cacheFolder } from "../src/cache.js";
import { lookForCuda } from "../src/runtime/libraries/cuda-libraries.js";
import { readElf } from "../src/runtime/libraries/elf.js";

/** Stub CUDA libraries, over which the real provider loads and "runs" on any machine. */
export interface StubCuda {
  /** Environment to start a child process with. */
  readonly env: NodeJS.ProcessEnv;
  /** Folder of the libraries. */
  readonly dir: string;
}

const sources = path.join(__dirname, "stub-cuda");

/** Names that are exported beside what the provider needs: what mutwo itself calls, or may. */
const more: Readonly<Record<string, string>> = {
  libcudart:
    "cudaSetDevice cudaStreamWaitEvent cudaEventRecord cudaEventRecordWithFlags cudaEventSynchronize cudaEventQuery cudaStreamQuery cudaGraphLaunch cudaGraphUpload cudaDeviceReset cudaHostRegister cudaHostUnregister cudaMemcpyPeer cudaMemcpyPeerAsync cudaMemcpyToSymbol cudaLaunchHostFunc cudaDeviceSetLimit",
  libcuda: "cuDevicePrimaryCtxRetain cuCtxGetCurrent cuCtxSetCurrent cuCtxSynchronize cuFuncSetAttribute",
  libcudnn:
    "cudnnCreate cudnnDestroy cudnnSetStream cudnnGetStream cudnnCreateTensorDescriptor cudnnDestroyTensorDescriptor cudnnSetTensor4dDescriptor cudnnSetTensorNdDescriptor cudnnCreateFilterDescriptor cudnnDestroyFilterDescriptor cudnnSetFilter4dDescriptor cudnnSetFilterNdDescriptor cudnnCreateConvolutionDescriptor cudnnDestroyConvolutionDescriptor cudnnSetConvolution2dDescriptor cudnnSetConvolutionNdDescriptor cudnnSetConvolutionGroupCount cudnnSetConvolutionMathType cudnnConvolutionForward cudnnConvolutionBackwardData cudnnConvolutionBackwardFilter cudnnConvolutionBackwardBias cudnnAddTensor cudnnDeriveBNTensorDescriptor cudnnBatchNormalizationForwardTraining cudnnBatchNormalizationForwardInference cudnnBatchNormalizationBackward cudnnCreatePoolingDescriptor cudnnDestroyPoolingDescriptor cudnnSetPooling2dDescriptor cudnnSetPoolingNdDescriptor cudnnPoolingForward cudnnPoolingBackward cudnnBackendInitialize cudnnBackendSetAttribute cudnnBackendFinalize cudnnBackendExecute cudnnGetLastErrorString",
  libnvrtc: "",
};

/** Functions whose first argument gets a new object. */
const makes = /^(cublasCreate_v2|cublasLtCreate|cudnnCreate\w*|curandCreateGenerator)$/;

/** A function that does nothing but what the environment asks for. */
function bareFunction(name: string): string {
  if (makes.test(name)) return `int ${name}(void **made) { GATE(${name}); *made = object(); return 0; }`;
  if (/(Name|String)$/.test(name)) return `const char *${name}(int error) { return "stub"; }`;
  if (/^__cuda(Unr|R)egister/.test(name)) return `long ${name}(void) { return 0; }`; // twenty thousand of the provider's own
  return `long ${name}(void) { return gate("${name}"); }`;
}

/** Functions that a library's provider-side users need, by library. */
function undefinedNames(provider: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  const listing = execFileSync("nm", ["-D", "--undefined-only", provider], { encoding: "utf8", maxBuffer: 1 << 28 });
  for (const [, name, library] of listing.matchAll(/\sU (\w+)@(lib\w+\.so\.\d+)$/gm))
    found.set(library as string, [...(found.get(library as string) ?? []), name as string]);
  return found;
}

/** Functions of cuDNN that the provider looks up by name when it needs them. */
function lookedUp(provider: string): string[] {
  const bytes = readFileSync(provider);
  const found = new Set<string>();
  for (let at = bytes.indexOf("\0cudnn"); at >= 0; at = bytes.indexOf("\0cudnn", at + 1)) {
    const name = bytes.toString("latin1", at + 1, bytes.indexOf(0, at + 1));
    if (/^cudnn[A-Z]\w+$/.test(name)) found.add(name);
  }
  return [...found];
}

function build(provider: string, libraries: readonly string[], major: number, folder: string): void {
  const needed = undefinedNames(provider).set("libcudnn.so.9", lookedUp(provider));
  for (const library of libraries) {
    const stem = library.slice(0, library.indexOf(".so"));
    const own = path.join(sources, `${stem.slice(3)}.c`);
    const written = existsSync(own) ? readFileSync(own, "utf8") : '#include "stub.h"\n';
    // a definition starts a line, as a function or as a macro's argument
    const defined = new Set(
      [...written.matchAll(/^(?:FIND|WORKSPACE)\((\w+)\)|^[\w *]*?\b(\w+)\(/gm)].map((m) => m[2] ?? m[1]),
    );
    const names = new Set([...(needed.get(library) ?? []), ...(more[stem] ?? "").split(" ").filter(Boolean)]);
    const bare = [...names].filter((name) => !defined.has(name)).map(bareFunction);
    const source = path.join(folder, `${stem}.c`);
    const versions = path.join(folder, `${stem}.map`);
    writeFileSync(source, `${written}\n${bare.join("\n")}\nint stub_${stem}(void) { return gate(""); }\n`);
    writeFileSync(versions, `${library} { global: *; };\n`);
    execFileSync(
      "gcc",
      [
        "-w",
        "-shared",
        "-fPIC",
        "-O1",
        `-I${sources}`,
        `-DSTUB_CUDA_MAJOR=${major}`,
        "-o",
        path.join(folder, library),
        source,
        `-Wl,-soname,${library}`,
        `-Wl,--version-script=${versions}`,
        "-lpthread",
      ],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
  }
}

/**
 * Builds the stub libraries, once for each version of them and of the provider, and returns how to start a process with
 * them, or the reason why there are none: no gcc, or no provider (`mutwo cuda install` fetches it).
 *
 * Memory is the host's and zero at first, copies copy, kernels do nothing: for call order, faults, leaks and the calls
 * themselves, never for a result or a time. STUB_CUDA_FAIL="cudaMalloc:3=2" lets the third cudaMalloc return error 2;
 * STUB_CUDA_BYTES is the device's memory (80 GiB); STUB_CUDA_LOG gets a line a call, and at the end `held deviceBytes=…`,
 * which `stubHeld("deviceBytes")` of libcudart tells at any time; STUB_CUDA_DRIVER=12080 is an older driver and
 * STUB_CUDA_DEVICES=0 a machine without a GPU. With NVRTC_LIBRARY set to the real compiler afterwards, what it refuses shows.
 */
export function stubCuda(): StubCuda | { readonly reason: string } {
  const parts = lookForCuda();
  if (!parts.provider.file || !parts.ort.file) return { reason: `no CUDA provider: ${parts.provider.problem}` };
  for (const tool of ["gcc", "nm"])
    try {
      execFileSync(tool, ["--version"], { stdio: "ignore" });
    } catch {
      return { reason: `no ${tool}` };
    }
  const { cudaMajor, provider } = parts;
  const names = readElf(provider.file).needed.filter((name) => /^lib(cu|nv)/.test(name));
  const libraries = [
    ...new Set([...names, "libcuda.so.1", "libcudnn.so.9", `libcudart.so.${cudaMajor}`, `libnvrtc.so.${cudaMajor}`]),
  ];
  const hash = createHash("sha256")
    .update(readFileSync(__filename))
    .update(`${provider.file} ${statSync(provider.file).size}`);
  for (const name of readdirSync(sources).sort()) hash.update(readFileSync(path.join(sources, name)));
  const dir = cacheFolder(`stub-cuda-${hash.digest("hex").slice(0, 16)}`);
  mkdirSync(path.dirname(dir), { recursive: true, mode: 0o700 });
  if (!existsSync(dir)) {
    const temporary = mkdtempSync(`${dir}-`);
    try {
      build(provider.file, libraries, cudaMajor, temporary);
      renameSync(temporary, dir);
    } catch (error) {
      rmSync(temporary, { recursive: true, force: true });
      if (!existsSync(dir)) throw error; // else another process was faster
    }
  }
  return {
    dir,
    env: {
      ...process.env,
      ORT_LIBRARY: parts.ort.file,
      CUDART_LIBRARY: path.join(dir, `libcudart.so.${cudaMajor}`),
      CUDNN_LIBRARY: path.join(dir, "libcudnn.so.9"),
      NVRTC_LIBRARY: path.join(dir, `libnvrtc.so.${cudaMajor}`),
      LD_LIBRARY_PATH: dir,
      // compiled kernels are kept there
      XDG_CACHE_HOME: mkdtempSync(path.join(os.tmpdir(), "mutwo-stub-cache-")),
    },
  };
}
