import { promisify } from "node:util";
import { crc32, inflateRaw, inflateRawSync, constants as zlib } from "node:zlib";
import { type Entry, fromRandomAccessReaderPromise, getFileNameLowLevel, RandomAccessReader } from "yauzl";
import { cannotRead, readPart, UnreadableFile } from "../files.js";
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
  /** Where its bytes begin. Rejects with `cannot read data: FILE (…)` where they do not lie in the archive. */
  readonly start: () => Promise<number>;
}

/** An open archive. */
export interface Archive {
  readonly file: string;
  readonly descriptor: number;
  readonly bytes: number;
}

/** Deflate packs no more than 1032 bytes into one. */
const mostPacked = 1032;

/** Most bytes of an archive's directory: of hundreds of thousands of arrays, read in seconds. */
const mostDirectory = 2 ** 25;

/** Bytes of an entry in the directory beside its texts. */
const entrySize = 46;

/** Bytes that are read ahead: of a directory a thousand entries. */
const readAhead = 2 ** 16;

const broken = ({ file }: Archive, why: string, cause?: unknown): Error =>
  cannotRead("data", file, `${why}: truncated or damaged`, cause);

/**
 * Gives yauzl the bytes of an archive. Its own reader of descriptors asks the system twice for each entry, and for offsets
 * that an archive makes up: those beyond 2^53 end the process.
 */
class ArchiveReader extends RandomAccessReader {
  private at = 0;
  private part: Buffer = Buffer.alloc(0);

  constructor(private readonly archive: Archive) {
    super();
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    done: (error: Error | null) => void,
  ): void {
    const { descriptor, bytes } = this.archive;
    if (position + length > bytes) {
      done(new Error("beyond the end"));
      return;
    }
    if (position < this.at || position + length > this.at + this.part.length) {
      this.part = readPart(descriptor, position, Math.min(Math.max(length, readAhead), bytes - position));
      this.at = position;
    }
    const from = position - this.at;
    const found = this.part.copy(buffer, offset, from, from + length);
    done(found < length ? new Error("it has become shorter") : null);
  }
}

/**
 * The directory of a zip archive, with its 64-bit forms. Rejects with `cannot read data: FILE (…)` for one that is truncated,
 * encrypted, packed otherwise than by deflate, or that says of itself what cannot be.
 */
export async function readZip(archive: Archive): Promise<ZipEntry[]> {
  // names and sizes are judged here, in words of our own
  const options = { autoClose: false, lazyEntries: true, decodeStrings: false, validateEntrySizes: false };
  const zip = await fromRandomAccessReaderPromise(new ArchiveReader(archive), archive.bytes, options).catch(
    (error: unknown) => {
      throw broken(archive, "not a zip archive, or one that does not end where the file does", error);
    },
  );
  const entries: ZipEntry[] = [];
  let bytes = 0;
  try {
    for await (const entry of zip.eachEntry()) {
      bytes += entrySize + entry.fileNameLength + entry.extraFieldLength + entry.fileCommentLength;
      if (bytes > mostDirectory)
        throw cannotRead("data", archive.file, `a directory of more than ${formatBytes(mostDirectory)}`);
      const start = (): Promise<{ fileDataStart: number }> => zip.readLocalFileHeaderPromise(entry, { minimal: true });
      entries.push(entryOf(archive, entry, start));
    }
  } catch (error) {
    throw error instanceof UnreadableFile ? error : broken(archive, "its directory cannot be read", error);
  }
  return entries;
}

function entryOf(archive: Archive, entry: Entry, start: () => Promise<{ fileDataStart: number }>): ZipEntry {
  const { compressedSize: packedBytes, uncompressedSize: bytes, compressionMethod: method } = entry;
  const name = getFileNameLowLevel(entry.generalPurposeBitFlag, entry.fileNameRaw, entry.extraFields, true);
  if (entry.isEncrypted()) throw cannotRead("data", archive.file, `${name} is encrypted`);
  if (method !== 0 && method !== 8)
    throw cannotRead("data", archive.file, `${name} is packed by method ${method}; save it by np.savez`);
  const isDeflated = method === 8;
  if (entry.relativeOffsetOfLocalHeader + packedBytes > archive.bytes)
    throw broken(archive, `${name} goes beyond its end`);
  if (!isDeflated && bytes !== packedBytes) throw broken(archive, `${name} has two sizes`);
  if (bytes > mostPacked * packedBytes + mostPacked)
    throw broken(archive, `${name} says that ${formatBytes(packedBytes)} unpack to ${formatBytes(bytes)}`);
  const begin = async (): Promise<number> => {
    try {
      return (await start()).fileDataStart;
    } catch (error) {
      throw broken(archive, `no header of ${name}, or its bytes go beyond the end`, error);
    }
  };
  return { name, isDeflated, packedBytes, bytes, crc: entry.crc32, start: begin };
}

/** The first bytes of an entry, unpacked: `most`, or more, or all that there are. */
export async function firstBytes(archive: Archive, entry: ZipEntry, most: number): Promise<Buffer> {
  const start = await entry.start();
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
  const packed = readPart(archive.descriptor, await entry.start(), packedBytes);
  let data = packed;
  try {
    if (entry.isDeflated) data = await promisify(inflateRaw)(packed, { maxOutputLength: Math.max(bytes, 1) });
  } catch (error) {
    throw broken(archive, `${name} cannot be unpacked`, error);
  }
  if (data.length !== bytes || crc32(data) !== crc) throw broken(archive, `${name} does not unpack to what it was`);
  return data;
}
