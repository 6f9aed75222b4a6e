import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";

const sha256 = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest();

/** Length of the hash before the code in a file, bytes. */
const hashBytes = 32;

/** The code kept in a file, in memory of its own; undefined if there is none, or not what was written. */
function kept(file: string): Uint8Array | undefined {
  try {
    const found = readFileSync(file);
    const body = found.subarray(hashBytes);
    if (!sha256(body).equals(found.subarray(0, hashBytes))) return undefined;
    const own = new Uint8Array(new ArrayBuffer(body.length));
    own.set(body);
    return own;
  } catch {
    return undefined;
  }
}

/** Compiled code from the folder where it is kept by `key`, or from `build`, which is then kept. */
export function cachedCubin(folder: string, key: readonly string[], build: () => Uint8Array): Uint8Array {
  const hash = createHash("sha256");
  for (const part of key) hash.update(part);
  const file = path.join(folder, `${hash.digest("hex")}.cubin`);
  const found = kept(file);
  if (found) return found;
  const cubin = build();
  try {
    mkdirSync(folder, { recursive: true });
    const temporary = `${file}.${process.pid}`;
    writeFileSync(temporary, Buffer.concat([sha256(cubin), cubin]));
    renameSync(temporary, file);
  } catch {} // without a cache it takes longer, no more
  return cubin;
}
