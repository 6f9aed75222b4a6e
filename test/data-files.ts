import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after } from "node:test";
import { crc32, deflateRawSync } from "node:zlib";

/** A temporary folder of a test file, gone behind it. */
export function dataFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "mutwo-data-"));
  after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Writes a file into a folder, and gives its path. */
export function put(folder: string, name: string, content: string | Uint8Array): string {
  const file = path.join(folder, name);
  writeFileSync(file, content);
  return file;
}

/** An .npy file of numpy's version 1. */
export function npyBytes(descr: string, shape: readonly number[], data: Uint8Array, order = "False"): Buffer {
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const text = `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': (${dims}), }`;
  const header = Buffer.from(`${text.padEnd(117)}\n`, "latin1");
  const start = Buffer.from("\x93NUMPY\x01\x00\x00\x00", "latin1");
  start.writeUInt16LE(header.length, 8);
  return Buffer.concat([start, header, data]);
}

/** The bytes of a typed array. */
export const raw = (numbers: ArrayBufferView): Uint8Array =>
  new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);

interface Entry {
  readonly name: string;
  readonly data: Uint8Array;
  readonly isDeflated?: boolean;
  /** What the archive says of it, if not the truth. */
  readonly said?: { readonly bytes?: number; readonly crc?: number; readonly method?: number; readonly flags?: number };
}

/** A zip archive, without 64-bit forms. */
export function zipBytes(entries: readonly Entry[], comment = ""): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, data, isDeflated, said = {} } of entries) {
    const packed = isDeflated ? deflateRawSync(data) : Buffer.from(data);
    const { bytes = data.length, crc = crc32(data), method = isDeflated ? 8 : 0, flags = 0 } = said;
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(method, 8);
    local.writeUInt16LE(name.length, 26);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE(flags, 8);
    central.writeUInt16LE(method, 10);
    central.writeUInt32LE(crc, 16);
    central.writeUInt32LE(packed.length, 20);
    central.writeUInt32LE(bytes, 24);
    central.writeUInt16LE(name.length, 28);
    central.writeUInt32LE(offset, 42);
    const written = Buffer.from(name, "latin1");
    parts.push(local, written, packed);
    directory.push(central, written);
    offset += local.length + written.length + packed.length;
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(Buffer.concat(directory).length, 12);
  end.writeUInt32LE(offset, 16);
  end.writeUInt16LE(comment.length, 20);
  return Buffer.concat([...parts, ...directory, end, Buffer.from(comment)]);
}
