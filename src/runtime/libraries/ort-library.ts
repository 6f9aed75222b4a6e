import { existsSync } from "node:fs";
import path from "node:path";
import { cacheFolder } from "../../cache.js";

/** File name of ONNX Runtime's core library on Linux. */
export const coreLibrary = "libonnxruntime.so.1";

/** Names of ONNX Runtime's core library elsewhere. */
const names: Partial<Record<NodeJS.Platform, string>> = {
  darwin: "libonnxruntime.1.29.0.dylib",
  win32: "onnxruntime.dll",
};

/** File names of the CUDA provider; they must lie beside the core library. */
export const providerFiles = ["libonnxruntime_providers_cuda.so", "libonnxruntime_providers_shared.so"] as const;

/** Version of the ONNX Runtime that comes with onnxruntime-node, and so of the provider that fits it. */
export const bundledVersion = (): string => (require("onnxruntime-node/package.json") as { version: string }).version;

/** The core library that comes with onnxruntime-node. */
export const bundledLibrary = (): string =>
  path.join(
    path.dirname(require.resolve("onnxruntime-node/package.json")),
    "bin/napi-v6",
    process.platform,
    process.arch,
    names[process.platform] ?? coreLibrary,
  );

/** Where `mutwo cuda install` puts the provider, with a copy of the core library beside it. */
export const installedFolder = (): string => cacheFolder(`onnxruntime-${bundledVersion()}-cuda`);

/** Whether a folder holds the CUDA provider with its core library. */
export const holdsProvider = (folder: string): boolean =>
  [...providerFiles, coreLibrary].every((name) => existsSync(path.join(folder, name)));

/**
 * ONNX Runtime's core library: ORT_LIBRARY, or the copy that `mutwo cuda install` put beside the provider (a process
 * loads one library for all backends), or onnxruntime-node's. Throws `no ONNX Runtime library: …` if it is not there.
 */
export function ortLibrary(): string {
  const file = process.env.ORT_LIBRARY ?? installedLibrary() ?? bundledLibrary();
  if (!existsSync(file)) throw new Error(`no ONNX Runtime library: ${file}`);
  return path.resolve(file);
}

function installedLibrary(): string | undefined {
  if (process.platform !== "linux") return undefined;
  const folder = installedFolder();
  return holdsProvider(folder) ? path.join(folder, coreLibrary) : undefined;
}
