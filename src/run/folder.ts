import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from "node:fs";
import path from "node:path";

/**
 * Makes a folder that appears complete or not at all: `fill` writes into a hidden folder beside it, which is then
 * renamed. Removes what was written if `fill` throws. Throws `output folder not writable: …`, `disk full: …`.
 */
export async function writeFolder<T>(folder: string, fill: (temporary: string) => Promise<T>): Promise<T> {
  const parent = path.dirname(path.resolve(folder));
  if (existsSync(folder)) throw new Error(`output folder exists: ${folder}`);
  let temporary: string;
  try {
    mkdirSync(parent, { recursive: true });
    temporary = mkdtempSync(path.join(parent, ".mutwo-"));
  } catch (error) {
    throw new Error(`output folder not writable: ${parent} (${(error as NodeJS.ErrnoException).code})`, {
      cause: error,
    });
  }
  const remove = (): void => rmSync(temporary, { recursive: true, force: true });
  process.once("exit", remove);
  try {
    const result = await fill(temporary);
    chmodSync(temporary, 0o755);
    renameSync(temporary, folder);
    return result;
  } catch (error) {
    remove();
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOSPC") throw new Error(`disk full: ${folder}`, { cause: error });
    if (code === "EACCES" || code === "EROFS")
      throw new Error(`output folder not writable: ${folder} (${code})`, { cause: error });
    throw error;
  } finally {
    process.removeListener("exit", remove);
  }
}

/** Throws `output folder not writable: …` before any work is done, if a run's folder could not be made in `folder`. */
export function checkWritable(folder: string): void {
  let existing = path.resolve(folder);
  while (!existsSync(existing) && path.dirname(existing) !== existing) existing = path.dirname(existing);
  try {
    if (!statSync(existing).isDirectory()) throw Object.assign(new Error("not a folder"), { code: "ENOTDIR" });
    rmSync(mkdtempSync(path.join(existing, ".mutwo-")), { recursive: true });
  } catch (error) {
    throw new Error(`output folder not writable: ${folder} (${(error as NodeJS.ErrnoException).code})`, {
      cause: error,
    });
  }
}
