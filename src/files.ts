import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";
import { totalmem } from "node:os";
import { gunzipSync } from "node:zlib";
import { formatBytes } from "./format.js";

/** The most bytes that a file of each kind may have; of a compressed one also what it unpacks to. */
export const mostBytes = {
  model: 2 ** 31,
  safetensors: 2 ** 34,
  data: 2 ** 40,
  image: 2 ** 28,
  run: 5e8,
  training: 5e8,
  recording: 5e8,
  table: 5e8,
  notebook: 5e8,
  "device spec": 2 ** 20,
  "sweep's spec": 2 ** 24,
  "sweep's jobs": 2 ** 30,
  "sweep's manifest": 2 ** 30,
  "sweep's result": 2 ** 24,
  sums: 2 ** 20,
} as const;

/** What a file of the user's is, in words. */
export type FileKind = keyof typeof mostBytes;

/** A file that is open for reading; whoever opened it closes it. */
export interface OpenFile {
  readonly descriptor: number;
  readonly bytes: number;
}

/** Most bytes that one call of the system reads. */
const mostAtOnce = 2 ** 30;

/** A file that cannot be read as it is, whatever stands in it. */
export class UnreadableFile extends Error {}

/** `cannot read KIND: FILE (WHY)`, for what is wrong with a file whatever stands in it. */
export const cannotRead = (kind: string, file: string, why: unknown, cause?: unknown): UnreadableFile =>
  new UnreadableFile(`cannot read ${kind}: ${file} (${why})`, { cause });

const isNot = (found: Stats): string => {
  if (found.isDirectory()) return "EISDIR";
  const what = found.isFIFO() ? "a pipe" : found.isSocket() ? "a socket" : "a device";
  return `${what}, not a file`;
};

/**
 * Opens a file that a user names, for reading; never waits for a writer. Throws `cannot read KIND: FILE (…)` with the
 * system's code, for what is not a regular file, and for one with more than `most` bytes.
 */
export function openFile(kind: string, file: string, most: number = Number.POSITIVE_INFINITY): OpenFile {
  let descriptor: number;
  try {
    descriptor = openSync(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // a socket cannot be opened at all
    throw cannotRead(kind, file, code === "ENXIO" ? "not a file" : code, error);
  }
  const found = fstatSync(descriptor);
  const problem = found.isFile() ? tooLarge(found.size, most) : isNot(found);
  if (problem === undefined) return { descriptor, bytes: found.size };
  closeSync(descriptor);
  throw cannotRead(kind, file, problem);
}

const tooLarge = (bytes: number, most: number): string | undefined =>
  bytes > most ? `${formatBytes(bytes)}, at most ${formatBytes(most)} are read` : undefined;

/** Throws as `openFile` does; leaves nothing open. */
export const checkFile = (kind: FileKind, file: string): void =>
  closeSync(openFile(kind, file, mostBytes[kind]).descriptor);

/** Bytes of the machine's memory; asked once: the system reads a file for each answer. */
let machineBytes: number | undefined;

/** Opens a file to be read whole. Throws as `openFile` does, for more than its kind or the machine may have. */
export function openWhole(kind: FileKind, file: string): OpenFile {
  machineBytes ??= totalmem();
  return openFile(kind, file, Math.min(mostBytes[kind], machineBytes));
}

/** The bytes of a file that a user names. Throws as `openWhole` does. */
export function readFile(kind: FileKind, file: string): Buffer {
  const { descriptor, bytes } = openWhole(kind, file);
  try {
    return readPart(descriptor, 0, bytes);
  } catch (error) {
    throw cannotRead(kind, file, (error as NodeJS.ErrnoException).code, error);
  } finally {
    closeSync(descriptor);
  }
}

/** The text of such a file. */
export const readText = (kind: FileKind, file: string): string => readFile(kind, file).toString("utf8");

/** So many bytes of an open file from an offset on; fewer where it ends before. */
export function readPart(descriptor: number, offset: number, bytes: number): Buffer {
  // memory of its own, not a part of a pool: values are views of it, and need its alignment
  const data = Buffer.allocUnsafeSlow(bytes);
  let done = 0;
  while (done < bytes) {
    const got = readSync(descriptor, data, done, Math.min(bytes - done, mostAtOnce), offset + done);
    if (got === 0) break;
    done += got;
  }
  return data.subarray(0, done);
}

/**
 * What a compressed file holds. Throws as `openFile` does, also where it unpacks to more than its kind may have; zlib's
 * own error if it is not compressed, or truncated.
 */
export function readCompressed(kind: FileKind, file: string): Buffer {
  const packed = readFile(kind, file);
  try {
    return gunzipSync(packed, { maxOutputLength: mostBytes[kind] });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_BUFFER_TOO_LARGE") throw error;
    throw cannotRead(kind, file, `unpacks to more than ${formatBytes(mostBytes[kind])}`, error);
  }
}
