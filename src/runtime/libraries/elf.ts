import { closeSync, fstatSync, readSync } from "node:fs";
import { openFile } from "../../files.js";

/** What a shared library says of itself. */
export interface ElfFacts {
  /** The name that other libraries ask for it by; undefined if it has none. */
  readonly soname: string | undefined;
  /** Names of the libraries that it must be loaded with. */
  readonly needed: readonly string[];
}

/** Entry tags of the dynamic section (elf.h). */
const tags = { end: 0n, needed: 1n, stringTable: 5n, soname: 14n } as const;

/** Segment types. */
const segments = { load: 1, dynamic: 2 } as const;

/**
 * Reads the dynamic section of a 64-bit little-endian ELF library, and little more of the file. Throws
 * `not a shared library: …` for anything else, and for a file that is cut off.
 */
export function readElf(file: string): ElfFacts {
  const { descriptor: handle } = openFile("library", file);
  try {
    const at = (position: number | bigint, bytes: number): Buffer => {
      const buffer = Buffer.alloc(bytes);
      if (readSync(handle, buffer, 0, bytes, Number(position)) !== bytes) throw new Error("ends too early");
      return buffer;
    };
    const header = at(0, 64);
    if (header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1) throw new Error("no ELF header");
    // the table of sections is the last of a library
    const sections = header.readBigUInt64LE(40) + BigInt(header.readUInt16LE(58) * header.readUInt16LE(60));
    if (sections > fstatSync(handle).size) throw new Error("ends too early");
    const [size, count] = [header.readUInt16LE(54), header.readUInt16LE(56)];
    const programHeaders = at(header.readBigUInt64LE(32), size * count);
    const parts = Array.from({ length: count }, (_, i) => {
      const entry = programHeaders.subarray(i * size);
      return {
        type: entry.readUInt32LE(0),
        offset: entry.readBigUInt64LE(8),
        address: entry.readBigUInt64LE(16),
        bytes: entry.readBigUInt64LE(32),
      };
    });
    const dynamic = parts.find(({ type }) => type === segments.dynamic);
    if (!dynamic) throw new Error("no dynamic section");
    const table = at(dynamic.offset, Number(dynamic.bytes));
    const entries: { tag: bigint; value: bigint }[] = [];
    for (let i = 0; i + 16 <= table.length; i += 16) {
      const tag = table.readBigUInt64LE(i);
      if (tag === tags.end) break;
      entries.push({ tag, value: table.readBigUInt64LE(i + 8) });
    }
    const strings = entries.find(({ tag }) => tag === tags.stringTable)?.value ?? 0n;
    const home = parts.find(
      ({ type, address, bytes }) => type === segments.load && strings >= address && strings < address + bytes,
    );
    if (!home) throw new Error("no string table");
    const start = strings - home.address + home.offset;
    const name = (offset: bigint): string => {
      const bytes = Buffer.alloc(256);
      const read = readSync(handle, bytes, 0, bytes.length, Number(start + offset));
      const end = bytes.indexOf(0);
      return bytes.toString("utf8", 0, end < 0 ? read : end);
    };
    const named = (wanted: bigint): string[] => entries.filter(({ tag }) => tag === wanted).map((e) => name(e.value));
    return { soname: named(tags.soname)[0], needed: named(tags.needed) };
  } catch (error) {
    throw new Error(`not a shared library: ${file} (${(error as Error).message})`, { cause: error });
  } finally {
    closeSync(handle);
  }
}
