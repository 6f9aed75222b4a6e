import { existsSync } from "node:fs";
import path from "node:path";
import { cacheFolder } from "../../cache.js";
import { ownPath } from "../../root.js";

/** File name of ONNX Runtime's core library on Linux. */
export const coreLibrary = "libonnxruntime.so.1";

/** Names of ONNX Runtime's core library elsewhere. */
const names: Partial<Record<NodeJS.Platform, string>> = {
  darwin: "libonnxruntime.1.dylib",
  win32: "onnxruntime.dll",
};

/** File names of the CUDA provider; they must lie beside the core library. */
export const providerFiles = ["libonnxruntime_providers_cuda.so", "libonnxruntime_providers_shared.so"] as const;

/** What src/vendor.mjs takes from the npm package onnxruntime-node, whose own install script would fetch more. */
const vendored = (...parts: string[]): string => ownPath("dist/vendor/onnxruntime", ...parts);

/** Version of the ONNX Runtime that comes with mutwo, and so of the provider that fits it: package.json says it once. */
export const bundledVersion = (): string => {
  const { devDependencies } = require(ownPath("package.json")) as { devDependencies: Record<string, string> };
  return devDependencies["onnxruntime-node"] as string;
};

/** The core library that comes with mutwo. */
export const bundledLibrary = (): string =>
  vendored(`${process.platform}-${process.arch}`, names[process.platform] ?? coreLibrary);

/** onnxruntime-node's install script in one file, which fetches the provider for CUDA 12. */
export const bundledInstaller = (): string => vendored("install.cjs");

/** Where `mutwo cuda install` puts the provider, with a copy of the core library beside it. */
export const installedFolder = (): string => cacheFolder(`onnxruntime-${bundledVersion()}-cuda`);

/** Whether a folder holds the CUDA provider with its core library. */
export const holdsProvider = (folder: string): boolean =>
  [...providerFiles, coreLibrary].every((name) => existsSync(path.join(folder, name)));

/**
 * ONNX Runtime's core library: ORT_LIBRARY, or the copy that `mutwo cuda install` put beside the provider (a process
 * loads one library for all backends), or the one that comes with mutwo. Throws `no ONNX Runtime library…` if it is not there.
 */
export function ortLibrary(): string {
  const file = process.env.ORT_LIBRARY ?? installedLibrary() ?? bundledLibrary();
  if (!existsSync(file) && file === bundledLibrary())
    throw new Error(
      `no ONNX Runtime library for ${process.platform} ${process.arch}: ${file} (set ORT_LIBRARY to one of version ${bundledVersion()})`,
    );
  if (!existsSync(file)) throw new Error(`no ONNX Runtime library: ${file}`);
  return path.resolve(file);
}

function installedLibrary(): string | undefined {
  if (process.platform !== "linux") return undefined;
  const folder = installedFolder();
  return holdsProvider(folder) ? path.join(folder, coreLibrary) : undefined;
}
