import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import path from "node:path";

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
    temporary = mkdtempSync(path.join(parent, ".mutwo-"));
  } catch (error) {
    throw notWritable(parent)(error as NodeJS.ErrnoException);
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
    rmSync(mkdtempSync(path.join(existing, ".mutwo-")), { recursive: true });
  } catch (error) {
    throw refusal(error as NodeJS.ErrnoException);
  }
}

/** Throws `WHAT not writable: …` if a file could not be written; leaves one that is there as it is. */
export function checkFileWritable(what: string, file: string): void {
  const isNew = !existsSync(file);
  // to open a pipe is to wait for its reader
  if (!isNew && statSync(file).isFIFO()) throw new Error(`${what} not writable: ${file} (a pipe, not a file)`);
  try {
    closeSync(openSync(file, "a"));
    if (isNew) rmSync(file);
  } catch (error) {
    throw new Error(`${what} not writable: ${file} (${(error as NodeJS.ErrnoException).code})`, { cause: error });
  }
}
