import { chmodSync, closeSync, existsSync, mkdirSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import { folderMode, isSameFile, targetOf, temporaryFolder } from "../writing.js";

const notWritable =
  (folder: string) =>
  (error: NodeJS.ErrnoException): Error =>
    new Error(`output folder not writable: ${folder} (${error.code})`, { cause: error });

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
    temporary = temporaryFolder(parent);
  } catch (error) {
    throw notWritable(parent)(error as NodeJS.ErrnoException);
  }
  const remove = (): void => rmSync(temporary, { recursive: true, force: true });
  process.once("exit", remove);
  try {
    const result = await fill(temporary);
    chmodSync(temporary, folderMode());
    renameSync(temporary, folder);
    return result;
  } catch (error) {
    remove();
    const failure = error as NodeJS.ErrnoException;
    if (failure.code === "ENOSPC") throw new Error(`disk full: ${folder}`, { cause: error });
    throw failure.code === "EACCES" || failure.code === "EROFS" ? notWritable(folder)(failure) : error;
  } finally {
    process.removeListener("exit", remove);
  }
}

/**
 * Throws before any work is done if nothing could be made in `folder` or, where there is none yet, in the nearest folder
 * above: `output folder not writable: …`, or what `refusal` makes of the system's error.
 */
export function checkWritable(folder: string, refusal = notWritable(folder)): void {
  let existing = path.resolve(folder);
  while (!existsSync(existing) && path.dirname(existing) !== existing) existing = path.dirname(existing);
  try {
    rmSync(temporaryFolder(existing), { recursive: true });
  } catch (error) {
    throw refusal(error as NodeJS.ErrnoException);
  }
}

/**
 * Throws `WHAT not writable: …` if a file could not be written, and `WHAT would overwrite …` if it is one of those that it
 * is made of; leaves one that is there as it is.
 */
export function checkFileWritable(what: string, file: string, sources: readonly string[] = []): void {
  const source = sources.find((one) => isSameFile(one, file));
  if (source !== undefined) throw new Error(`${what} would overwrite what it is made of: ${file} (name another file)`);
  const target = targetOf(file);
  try {
    const stat = statSync(target, { throwIfNoEntry: false });
    // to open a pipe waits for who reads it
    const odd = stat?.isFIFO() ? "a pipe" : stat?.isSocket() ? "a socket" : undefined;
    if (odd) throw Object.assign(new Error(odd), { code: `${odd}, not a file` });
    closeSync(openSync(target, "a"));
    if (!stat) rmSync(target);
  } catch (error) {
    throw new Error(`${what} not writable: ${file} (${(error as NodeJS.ErrnoException).code})`, { cause: error });
  }
}
