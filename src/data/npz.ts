import { closeSync, readdirSync } from "node:fs";
import path from "node:path";
import { cannotRead, mostBytes, openFile, readPart } from "../files.js";
import { formatBytes } from "../format.js";
import { type ArrayOptions, arrayDataset, chosenNames } from "./arrays.js";
import type { Dataset } from "./dataset.js";
import { type NpyHeader, npyStart, readNpyHeader } from "./npy.js";
import { heldBytes, type Rows, rowsOf, type StoredArray } from "./stored.js";
import type { Archive, ZipEntry } from "./zip.js";

/** The header of an array in a file, of which that part is `bytes` long. Throws with the file's name and the array's. */
function headerIn(file: string, name: string, start: Buffer, bytes: number): NpyHeader {
  const refuse = (why: string, cause?: unknown): Error =>
    cannotRead("data", file, name ? `${name}: ${why}` : why, cause);
  let header: NpyHeader;
  try {
    header = readNpyHeader(start);
  } catch (error) {
    throw refuse((error as Error).message, error);
  }
  const there = bytes - header.offset;
  if (there < header.bytes)
    throw refuse(
      `truncated: ${formatBytes(there)} of ${formatBytes(header.bytes)} of ${header.dtype}[${header.shape}]`,
    );
  if (header.shape.length === 0) throw refuse("one number, no samples");
  return header;
}

/** Opens a file, and closes it if what is made of it is not made. */
async function opened<T>(file: string, make: (archive: Archive) => T | Promise<T>): Promise<T> {
  const { descriptor, bytes } = openFile("data", file, mostBytes.data);
  try {
    return await make({ file, descriptor, bytes });
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/** The samples of an .npy file, which stays open. */
const openNpy = (file: string): Promise<{ rows: Rows; descriptor: number }> =>
  opened(file, ({ descriptor, bytes }) => {
    const header = headerIn(file, "", readPart(descriptor, 0, Math.min(bytes, npyStart)), bytes);
    const place = { descriptor, offset: header.offset, file };
    return { rows: rowsOf({ ...header, place }, file), descriptor };
  });

/** Data in one .npy file: a column by the file's name, or whatever `columns` makes of it. */
export const npyData = (file: string, options: ArrayOptions): Promise<Dataset> =>
  npyFiles(path.basename(file), [file], options);

/** The .npy files of a folder. */
export const npyNames = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => /^[^.].*\.npy$/i.test(name))
    .sort();

/** Data in the .npy files of a folder: each is a column by its name. */
export const npyFolder = (folder: string, options: ArrayOptions): Promise<Dataset> =>
  npyFiles(
    path.basename(path.resolve(folder)),
    npyNames(folder).map((name) => path.join(folder, name)),
    options,
  );

async function npyFiles(name: string, files: readonly string[], options: ArrayOptions): Promise<Dataset> {
  const byName = new Map(files.map((file) => [path.basename(file).replace(/\.npy$/i, ""), file]));
  const open: number[] = [];
  const close = (): void => {
    for (const descriptor of open.splice(0)) closeSync(descriptor);
  };
  try {
    const rows = new Map<string, Rows>();
    for (const column of chosenNames(options.columns, [...byName.keys()], name)) {
      const one = await openNpy(byName.get(column) as string);
      open.push(one.descriptor);
      rows.set(column, one.rows);
    }
    return arrayDataset({ ...options, name, rows, fields: [...byName.keys()], close });
  } catch (error) {
    close();
    throw error;
  }
}

/** Data in an .npz file: each array is a column by its name; those that are stored and large are read as wanted. */
export const npzData = (file: string, options: ArrayOptions): Promise<Dataset> =>
  opened(file, async (archive) => {
    const name = path.basename(file);
    const { readZip } = await import("./zip.js");
    const entries = new Map(
      (await readZip(archive)).flatMap((entry) => {
        const column = entry.name.replace(/\.npy$/i, "");
        return entry.name.endsWith("/") ? [] : [[column, entry] as const];
      }),
    );
    const rows = new Map<string, Rows>();
    for (const column of chosenNames(options.columns, [...entries.keys()], name))
      rows.set(column, rowsOf(await arrayIn(archive, entries.get(column) as ZipEntry), file));
    let isOpen = true;
    const close = (): void => {
      if (isOpen) closeSync(archive.descriptor);
      isOpen = false;
    };
    return arrayDataset({ ...options, name, rows, fields: [...entries.keys()], close });
  });

/** An array of an archive; small ones and packed ones are held, and compared with their sum. */
async function arrayIn(archive: Archive, entry: ZipEntry): Promise<StoredArray> {
  const { firstBytes, unpacked } = await import("./zip.js");
  const header = headerIn(archive.file, entry.name, await firstBytes(archive, entry, npyStart), entry.bytes);
  if (entry.isDeflated || entry.bytes <= heldBytes) {
    const bytes = (await unpacked(archive, entry)).subarray(header.offset, header.offset + header.bytes);
    return { ...header, place: { bytes } };
  }
  const offset = (await entry.start()) + header.offset;
  return { ...header, place: { descriptor: archive.descriptor, offset, file: archive.file } };
}
