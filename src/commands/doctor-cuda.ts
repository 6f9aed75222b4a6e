import path from "node:path";
import { parseGraph } from "../build/text.js";
import { formatBytes } from "../format.js";
import { bytesOf, valuesOf } from "../graph/values.js";
import { layout } from "../memory/layout.js";
import {
  checkDriver,
  cudaVersion,
  cudnnVersion,
  driverRelease,
  driverVersion,
  gpus,
  nvrtcVersion,
  runtimeVersion,
} from "../runtime/libraries/cuda-facts.js";
import { type CudaParts, lookForCuda, missingParts, remedies } from "../runtime/libraries/cuda-libraries.js";
import type { CudaPart } from "../runtime/libraries/library-search.js";
import { openRuntime } from "../runtime/open.js";
import { ortVersion } from "../runtime/ort-api.js";
import { chooseCuda } from "./cuda-install.js";
import { Broken, type Finding, finding } from "./finding.js";

/** Opens the CUDA backend, runs a matrix product on it, and returns what it runs on. Throws the reason if it cannot. */
export async function checkCuda(): Promise<string> {
  const runtime = openRuntime("cuda");
  try {
    const graph = parseGraph("graph check(float32[1,2] x, float32[2,2] w) => (y) { y = MatMul(x, w) }");
    const step = runtime.load(graph, layout(graph));
    try {
      step.write("x", bytesOf("float32", [1, 2]));
      step.write("w", bytesOf("float32", [3, 4, 5, 6]));
      await step.run();
      const [first, second] = valuesOf("float32", step.read("y"));
      if (first !== 13 || second !== 16)
        throw new Error(`a kernel gave a wrong result: ${first}, ${second}, not 13, 16`);
    } finally {
      step.close();
    }
    const { name, runtimeVersion: version } = runtime.device;
    return `${name}, ONNX Runtime ${version}`;
  } finally {
    runtime.close();
  }
}

/** What is missing for the CUDA backend and how to get it, a line each; empty if all is there. */
export function cudaAdvice(parts: CudaParts): string[] {
  const missing = missingParts(parts);
  if (!missing.length) return [];
  return [
    ...missing.map(({ name, problem }) => `${name}: ${problem}`),
    `looked in ${parts.folders.join(", ")}`,
    ...remedies(parts, missing),
  ];
}

/** Why libraries cannot be used, with how to get them. */
function missingError(missing: readonly CudaPart[], parts: CudaParts, optional = ""): Broken {
  const what = missing.map(({ name, problem }) => `${name} ${problem}`).join("; ");
  return new Broken(`${optional}${what}`, remedies(parts, missing).join(", "));
}

/** The rows of `mutwo doctor` on GPUs and the libraries of the CUDA backend. */
export async function examineCuda(): Promise<Finding[]> {
  const parts = lookForCuda({ cudaMajor: chooseCuda() });
  const at = (part: CudaPart): string => {
    if (!part.file) throw missingError([part], parts);
    return part.file;
  };
  return [
    await finding("GPU", () =>
      gpus(at(parts.driver))
        .map(
          ({ name, memoryBytes, capability }, i) =>
            `${i}: ${name}, ${formatBytes(memoryBytes)}, compute capability ${capability}`,
        )
        .join("; "),
    ),
    await finding("driver", () => {
      const version = driverVersion(at(parts.driver));
      checkDriver(version, parts.cudaMajor);
      return `${driverRelease() ?? at(parts.driver)}, runs CUDA up to ${cudaVersion(version)}`;
    }),
    await finding("CUDA runtime", () => `${cudaVersion(runtimeVersion(at(parts.cudart)))}, ${at(parts.cudart)}`),
    await finding("CUDA libraries", () => {
      const missing = parts.others.filter(({ problem }) => problem !== undefined);
      if (missing.length) throw missingError(missing, parts);
      return parts.others.map(({ file }) => file).join(", ");
    }),
    await finding("cuDNN", () => `${cudnnVersion(at(parts.cudnn))}, ${at(parts.cudnn)}`),
    await finding("NVRTC (fused kernels)", () => {
      if (!parts.nvrtc.file) throw missingError([parts.nvrtc], parts, "optional: ");
      return `${nvrtcVersion(parts.nvrtc.file)}, ${parts.nvrtc.file}`;
    }),
    await finding("CUDA provider", () => {
      const file = at(parts.provider);
      return `ONNX Runtime ${ortVersion()} for CUDA ${parts.cudaMajor}, ${path.dirname(file)}`;
    }),
    await finding("cuda backend", () => {
      const missing = missingParts(parts);
      if (missing.length) {
        const names = missing.map(({ name }) => name).join(", ");
        throw new Broken(
          `not found: ${names}; looked in ${parts.folders.join(", ")}`,
          remedies(parts, missing).join(", "),
        );
      }
      return checkCuda();
    }),
  ];
}

/** What a terminal shows of the CUDA backend where there is no driver: what lacks besides is of no interest. */
const withoutDriver: Finding = {
  what: "cuda backend",
  works: false,
  detail: "no NVIDIA driver here (libcuda.so.1 not found); the backends cpu, replay:FILE and estimate need none",
  mend: "install NVIDIA's driver (580 or newer for CUDA 13, 525 for CUDA 12), then: mutwo cuda install",
};

/** The rows with one for all of the CUDA backend where there is no driver. */
export function inShort(findings: readonly Finding[]): readonly Finding[] {
  const names = findings.map(({ what }) => what);
  const [first, last] = [names.indexOf("GPU"), names.indexOf("cuda backend")];
  const driver = findings.find(({ what }) => what === "driver");
  if (first < 0 || last < first || !driver || driver.works || !driver.detail.startsWith("libcuda.so")) return findings;
  return [...findings.slice(0, first), withoutDriver, ...findings.slice(last + 1)];
}
