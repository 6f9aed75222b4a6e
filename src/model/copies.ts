import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { openFile } from "../files.js";

/** Bytes that are copied at once. */
const pieceBytes = 2 ** 24;

/** A file that is copied with some of its bytes replaced. */
export interface CopiedFile {
  readonly source: string;
  readonly patches: { readonly offset: number; readonly bytes: Uint8Array }[];
}

/** Writes pieces of bytes to a new file, one after the other. */
export function writePieces(file: string, pieces: readonly Uint8Array[]): void {
  const descriptor = openSync(file, "w");
  try {
    for (const piece of pieces) writeAll(descriptor, piece);
  } finally {
    closeSync(descriptor);
  }
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; )
    done += writeSync(descriptor, bytes, done, Math.min(bytes.length - done, 2 ** 30));
}

/** Copies a file with some of its bytes replaced, piece by piece. Throws `cannot read external data: …`. */
export function copyWith({ source, patches }: CopiedFile, target: string): void {
  const { descriptor: from, bytes } = openFile("external data", source);
  try {
    const into = openSync(target, "w");
    try {
      const sorted = [...patches].sort((a, z) => a.offset - z.offset);
      const buffer = Buffer.alloc(Math.min(pieceBytes, Math.max(bytes, 1)));
      let first = 0;
      for (let at = 0; at < bytes; ) {
        const size = readSync(from, buffer, 0, buffer.length, at);
        if (size === 0) break;
        while (first < sorted.length && endOf(sorted[first]) <= at) first++;
        for (let i = first; i < sorted.length && (sorted[i] as { offset: number }).offset < at + size; i++) {
          const { offset, bytes: other } = sorted[i] as CopiedFile["patches"][number];
          const [begin, end] = [Math.max(offset, at), Math.min(offset + other.length, at + size)];
          buffer.set(other.subarray(begin - offset, end - offset), begin - at);
        }
        writeAll(into, buffer.subarray(0, size));
        at += size;
      }
    } finally {
      closeSync(into);
    }
  } finally {
    closeSync(from);
  }
}

const endOf = (patch: CopiedFile["patches"][number] | undefined): number =>
  patch ? patch.offset + patch.bytes.length : Number.POSITIVE_INFINITY;
