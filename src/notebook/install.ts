import { accessSync, mkdirSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { ownPath } from "../root.js";
import { writeWhole } from "../writing.js";

/** Where the kernel's launcher lies, seen from src/ and from dist/. */
export const kernelFile = ownPath("src/notebook/tslab.cjs");

/** Jupyter's data folder of this user, by Jupyter's own rules. */
function userDataFolder(): string {
  if (process.env.JUPYTER_DATA_DIR) return process.env.JUPYTER_DATA_DIR;
  if (process.platform === "darwin") return path.join(homedir(), "Library/Jupyter");
  if (process.platform === "win32") return path.join(process.env.APPDATA ?? homedir(), "jupyter");
  return path.join(process.env.XDG_DATA_HOME ?? path.join(homedir(), ".local/share"), "jupyter");
}

/**
 * Registers the TypeScript kernel with Jupyter and returns the path of its kernel.json. Needs no Python. Throws
 * `cannot install kernel (code): …` if the folder is not writable.
 */
export function installKernel(options: { dataDir?: string } = {}): string {
  const folder = path.resolve(options.dataDir ?? userDataFolder(), "kernels/mutwo");
  const file = path.join(folder, "kernel.json");
  const spec = {
    argv: [process.execPath, path.resolve(kernelFile), "kernel", "--config-path", "{connection_file}"],
    display_name: "TypeScript (mutwo)",
    language: "typescript",
  };
  try {
    accessSync(kernelFile);
    mkdirSync(folder, { recursive: true });
    writeWhole(file, `${JSON.stringify(spec, null, 2)}\n`);
  } catch (error) {
    throw new Error(`cannot install kernel (${(error as NodeJS.ErrnoException).code}): ${folder}`, { cause: error });
  }
  return file;
}
