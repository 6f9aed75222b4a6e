import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";

const sha256 = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest();

/** Length of the hash before the bytes in a file. */
const hashBytes = 32;

const fileOf = (folder: string, key: readonly string[]): string => {
  const hash = createHash("sha256");
  for (const part of key) hash.update(part);
  return path.join(folder, hash.digest("hex"));
};

/** What is kept in a folder by `key`, in memory of its own; undefined if nothing is, or not what was written. */
export function readKept(folder: string, key: readonly string[]): Uint8Array | undefined {
  try {
    const found = readFileSync(fileOf(folder, key));
    const body = found.subarray(hashBytes);
    if (!sha256(body).equals(found.subarray(0, hashBytes))) return undefined;
    const own = new Uint8Array(new ArrayBuffer(body.length));
    own.set(body);
    return own;
  } catch {
    return undefined;
  }
}

/** Keeps bytes in a folder by `key`; without a place for them nothing happens. */
export function keep(folder: string, key: readonly string[], bytes: Uint8Array): void {
  try {
    mkdirSync(folder, { recursive: true });
    const file = fileOf(folder, key);
    const temporary = `${file}.${process.pid}`;
    writeFileSync(temporary, Buffer.concat([sha256(bytes), bytes]));
    renameSync(temporary, file);
  } catch {} // without a cache it takes longer, no more
}

/** Bytes from the folder where they are kept by `key`, or from `build`, which are then kept. */
export function cachedBytes(folder: string, key: readonly string[], build: () => Uint8Array): Uint8Array {
  const found = readKept(folder, key);
  if (found) return found;
  const built = build();
  keep(folder, key, built);
  return built;
}
