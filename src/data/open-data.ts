import { closeSync, statSync } from "node:fs";
import path from "node:path";
import { cannotRead, mostBytes, openFile } from "../files.js";
import { inOneLine } from "../graph/message.js";
import { safetensorsHeader } from "../model/safetensors.js";
import { type ArrayOptions, arrayDataset, type ColumnChoice } from "./arrays.js";
import type { BatchTensor } from "./batch.js";
import { csvData } from "./csv.js";
import type { Dataset } from "./dataset.js";
import { type ImageOptions, imageFolder } from "./images.js";
import { npyData, npyFolder, npyNames, npzData } from "./npz.js";
import { rowsOf } from "./stored.js";

/** How data is read. */
export interface DataOptions extends ImageOptions {
  /** What the model takes (`trainer.batch`): images are brought to its input's size, layout and channels. */
  readonly batch?: readonly BatchTensor[];
  /**
   * Which columns the tensors take, where their names do not say it: `{ input: "x_train", target: "y_train" }`, or of a
   * table `{ input: ["age", "income"], target: "price" }`. What is not named is left out, but for
   * the input or the target of a table where only the other is named.
   */
  readonly columns?: ColumnChoice;
  /** The classes by number: of data to judge by those of the data that was trained on. Default what the data says. */
  readonly classes?: readonly string[];
  /** What whole numbers of arrays, as bytes of images are, are multiplied by for an input of floats: 1 / 255. Default 1. */
  readonly scale?: number;
}

/** Files of data, by the ends of their names. */
const readers: Readonly<Record<string, (file: string, options: DataOptions) => Dataset | Promise<Dataset>>> = {
  ".npz": npzData,
  ".npy": npyData,
  ".safetensors": safetensorsData,
  ".csv": csvData,
};

/** Data in a safetensors file: each tensor is a column by its name; large ones are read as they are wanted. */
function safetensorsData(file: string, options: ArrayOptions): Dataset {
  const { descriptor, bytes } = openFile("data", file, mostBytes.data);
  let isOpen = true;
  const close = (): void => {
    if (isOpen) closeSync(descriptor);
    isOpen = false;
  };
  try {
    const { entries } = safetensorsHeader({ descriptor, bytes }, file);
    const rows = new Map(
      entries
        .filter(({ shape }) => shape.length > 0)
        .map(({ name, dtype, shape, offset }) => [
          name,
          rowsOf({ dtype, shape, place: { descriptor, offset, file } }, file),
        ]),
    );
    return arrayDataset({ ...options, name: path.basename(file), rows, close });
  } catch (error) {
    close();
    throw error;
  }
}

/**
 * Opens data to train with: an `.npz` file (arrays that are stored are read as they are wanted, packed ones are unpacked), an
 * `.npy` file or a folder of them, `.safetensors`, `.csv` with names in its first line, or a folder of images by class. Its
 * columns have the names of the file's arrays, or of the tensors that `columns` gives them to; those of a table are `input`
 * and `target`. Throws one line that names the file, and row and column where there are some, for what is no such file, is
 * truncated, holds other things than numbers, or no samples.
 */
export async function openData(where: string, options: DataOptions = {}): Promise<Dataset> {
  try {
    return await opened(where, options);
  } catch (error) {
    throw inOneLine(error);
  }
}

function opened(where: string, options: DataOptions): Dataset | Promise<Dataset> {
  const found = statSync(where, { throwIfNoEntry: false });
  if (found?.isDirectory()) return npyNames(where).length > 0 ? npyFolder(where, options) : imageFolder(where, options);
  const end = path.extname(where).toLowerCase();
  const read = Object.hasOwn(readers, end) ? readers[end] : undefined;
  if (!found) throw cannotRead("data", where, "ENOENT");
  if (!read)
    throw new Error(
      `unknown kind of data: ${where} (use .npz, .npy, .safetensors, .csv, or a folder of images by class)`,
    );
  return read(where, options);
}
