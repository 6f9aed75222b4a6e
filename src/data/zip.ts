import { promisify } from "node:util";
import { crc32, inflateRaw, inflateRawSync, constants as zlib } from "node:zlib";
import { cannotRead, readPart } from "../files.js";
import { formatBytes } from "../format.js";
import { mostUnpacked } from "./stored.js";

/** A file of a zip archive. */
export interface ZipEntry {
  readonly name: string;
  readonly isDeflated: boolean;
  /** As it lies in the archive. */
  readonly packedBytes: number;
  readonly bytes: number;
  readonly crc: number;
  /** Where its own header begins. */
  readonly headerOffset: number;
}

/** An open archive. */
export interface Archive {
  readonly file: string;
  readonly descriptor: number;
  readonly bytes: number;
}

const endSize = 22;
const directorySize = 46;
const headerSize = 30;

/** Deflate packs no more than 1032 bytes into one. */
const mostPacked = 1032;

/** Most bytes of an archive's directory: of a million arrays. */
const mostDirectory = 2 ** 27;

const broken = ({ file }: Archive, why: string, cause?: unknown): Error =>
  cannotRead("data", file, `${why}: truncated or damaged`, cause);

const full32 = 0xffffffff;

/**
 * The directory of a zip archive (APPNOTE 6.3, with its 64-bit forms). Throws `cannot read data: FILE (…)` for one that is
 * truncated, encrypted, packed otherwise than by deflate, or that says of itself what cannot be.
 */
export function readZip(archive: Archive): ZipEntry[] {
  const { count, offset, bytes } = directoryOf(archive);
  if (bytes > mostDirectory || offset + bytes > archive.bytes) throw broken(archive, "no directory where its end says");
  const directory = readPart(archive.descriptor, offset, bytes);
  const entries: ZipEntry[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + directorySize > directory.length || directory.readUInt32LE(at) !== 0x02014b50)
      throw broken(archive, "its directory ends early");
    const nameLength = directory.readUInt16LE(at + 28);
    const extraLength = directory.readUInt16LE(at + 30);
    const next = at + directorySize + nameLength + extraLength + directory.readUInt16LE(at + 32);
    if (next > directory.length) throw broken(archive, "its directory ends early");
    const extra = directory.subarray(at + directorySize + nameLength, at + directorySize + nameLength + extraLength);
    entries.push(entryOf(archive, directory.subarray(at, at + directorySize + nameLength), extra));
    at = next;
  }
  return entries;
}

/** Where the directory lies, from the record at the archive's end. */
function directoryOf(archive: Archive): { count: number; offset: number; bytes: number } {
  // a comment of up to 64 KiB may stand behind the record
  const length = Math.min(archive.bytes, endSize + 0xffff);
  const tail = readPart(archive.descriptor, archive.bytes - length, length);
  let at = tail.length - endSize;
  while (at >= 0 && tail.readUInt32LE(at) !== 0x06054b50) at--;
  if (at < 0) throw broken(archive, "not a zip archive, or no end of one");
  const short = {
    count: tail.readUInt16LE(at + 10),
    bytes: tail.readUInt32LE(at + 12),
    offset: tail.readUInt32LE(at + 16),
  };
  if (short.count !== 0xffff && short.bytes !== full32 && short.offset !== full32) return short;
  if (at < 20 || tail.readUInt32LE(at - 20) !== 0x07064b50) return short;
  const record = readPart(archive.descriptor, Number(tail.readBigUInt64LE(at - 12)), 56);
  if (record.length < 56 || record.readUInt32LE(0) !== 0x06064b50)
    throw broken(archive, "no 64-bit end of its directory");
  return {
    count: Number(record.readBigUInt64LE(32)),
    bytes: Number(record.readBigUInt64LE(40)),
    offset: Number(record.readBigUInt64LE(48)),
  };
}

function entryOf(archive: Archive, record: Buffer, extra: Buffer): ZipEntry {
  const flags = record.readUInt16LE(8);
  const method = record.readUInt16LE(10);
  const name = record.toString(flags & 0x800 ? "utf8" : "latin1", directorySize);
  const wide = wideNumbers(extra);
  const number = (at: number): number => {
    const short = record.readUInt32LE(at);
    return short === full32 ? (wide.shift() ?? short) : short;
  };
  const bytes = number(24);
  const packedBytes = number(20);
  const headerOffset = number(42);
  if (flags & 1) throw cannotRead("data", archive.file, `${name} is encrypted`);
  if (method !== 0 && method !== 8)
    throw cannotRead("data", archive.file, `${name} is packed by method ${method}; save it by np.savez`);
  const isDeflated = method === 8;
  if (headerOffset + headerSize + packedBytes > archive.bytes) throw broken(archive, `${name} goes beyond its end`);
  if (!isDeflated && bytes !== packedBytes) throw broken(archive, `${name} has two sizes`);
  if (bytes > mostPacked * packedBytes + mostPacked)
    throw broken(archive, `${name} says that ${formatBytes(packedBytes)} unpack to ${formatBytes(bytes)}`);
  return { name, isDeflated, packedBytes, bytes, crc: record.readUInt32LE(16), headerOffset };
}

/** The numbers of an entry's 64-bit extra field, in their order. */
function wideNumbers(extra: Buffer): number[] {
  for (let at = 0; at + 4 <= extra.length; ) {
    const length = Math.min(extra.readUInt16LE(at + 2), extra.length - at - 4);
    if (extra.readUInt16LE(at) === 1)
      return Array.from({ length: Math.floor(length / 8) }, (_, i) => Number(extra.readBigUInt64LE(at + 4 + 8 * i)));
    at += 4 + length;
  }
  return [];
}

/** Where the bytes of an entry begin. */
export function startOf(archive: Archive, { name, headerOffset, packedBytes }: ZipEntry): number {
  const header = readPart(archive.descriptor, headerOffset, headerSize);
  if (header.length < headerSize || header.readUInt32LE(0) !== 0x04034b50)
    throw broken(archive, `no header of ${name}`);
  const start = headerOffset + headerSize + header.readUInt16LE(26) + header.readUInt16LE(28);
  if (start + packedBytes > archive.bytes) throw broken(archive, `${name} goes beyond its end`);
  return start;
}

/** The first bytes of an entry, unpacked: `most`, or more, or all that there are. */
export function firstBytes(archive: Archive, entry: ZipEntry, most: number): Buffer {
  const start = startOf(archive, entry);
  const packed = readPart(archive.descriptor, start, Math.min(entry.packedBytes, most));
  if (!entry.isDeflated) return packed;
  try {
    return inflateRawSync(packed, { finishFlush: zlib.Z_SYNC_FLUSH, maxOutputLength: mostPacked * most + mostPacked });
  } catch (error) {
    throw broken(archive, `${entry.name} cannot be unpacked`, error);
  }
}

/** All bytes of an entry. Throws where there are more or others than the archive says, or too many to hold. */
export async function unpacked(archive: Archive, entry: ZipEntry): Promise<Buffer> {
  const { name, bytes, packedBytes, crc } = entry;
  if (bytes > mostUnpacked())
    throw cannotRead(
      "data",
      archive.file,
      `${name} unpacks to ${formatBytes(bytes)}; save it by np.savez, not compressed`,
    );
  const packed = readPart(archive.descriptor, startOf(archive, entry), packedBytes);
  let data = packed;
  try {
    if (entry.isDeflated) data = await promisify(inflateRaw)(packed, { maxOutputLength: Math.max(bytes, 1) });
  } catch (error) {
    throw broken(archive, `${name} cannot be unpacked`, error);
  }
  if (data.length !== bytes || crc32(data) !== crc) throw broken(archive, `${name} does not unpack to what it was`);
  return data;
}
