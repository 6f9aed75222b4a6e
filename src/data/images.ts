import { readdirSync } from "node:fs";
import path from "node:path";
import { cannotRead, readFile } from "../files.js";
import { few } from "../format.js";
import { elementCount } from "../graph/graph.js";
import { optional } from "../optional.js";
import type { BatchTensor, Numbers } from "./batch.js";
import type { Dataset } from "./dataset.js";
import { type TypedNumbers, typedZeros } from "./numbers.js";

/** How images become tensors. */
export interface ImageOptions {
  /** Height and width in pixels, or both as one number; default those of the model's input. */
  readonly size?: number | readonly [number, number] | undefined;
  /** Where the channels stand; default as in the model's input, else `nchw`. */
  readonly layout?: "nchw" | "nhwc" | undefined;
  /** 3: red, green and blue; 1: grey. Default those of the model's input, else 3. */
  readonly channels?: 1 | 3 | undefined;
  /**
   * What is subtracted from each channel, of values from 0 to 1, before they are divided by `std`. Default ImageNet's of 3
   * channels ([0.485, 0.456, 0.406] and [0.229, 0.224, 0.225]), 0.5 and 0.5 of a grey one.
   */
  readonly mean?: readonly number[] | undefined;
  readonly std?: readonly number[] | undefined;
}

/** What a folder of images is read with. */
export interface ImageFolderOptions extends ImageOptions {
  readonly batch?: readonly BatchTensor[] | undefined;
  /** The classes by number, as those of the data that the model was trained on; default the folders that are there. */
  readonly classes?: readonly string[] | undefined;
}

/** The form of a tensor of one image. */
interface ImageForm {
  readonly height: number;
  readonly width: number;
  readonly channels: 1 | 3;
  readonly isLast: boolean;
  /** Bytes from 0 to 255 as they are, or floats. */
  readonly dtype: "float32" | "uint8";
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

const isImage = /\.(?:png|jpe?g|webp)$/i;

/** Images that are decoded at a time; each takes a thread of libuv. */
const atOnce = 8;

/** More pixels than this are no photograph, but a bomb. */
const mostPixels = 2 ** 28;

type Sharp = typeof import("sharp");

let loaded: Sharp | undefined;

/** sharp, which is an optional dependency. Throws what to do where it is missing. */
function sharp(): Sharp {
  if (loaded) return loaded;
  loaded = optional<Sharp>("sharp", "images need");
  loaded.cache(false);
  return loaded;
}

/** Names of the folders in a folder, in order. */
const foldersIn = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true })
    .filter((entry) => !entry.name.startsWith(".") && (entry.isDirectory() || entry.isSymbolicLink()))
    .map(({ name }) => name)
    .filter((name) => imagesIn(path.join(folder, name)) !== undefined)
    .sort();

/** Names of the images of a folder; undefined for what is no folder. */
function imagesIn(folder: string): string[] | undefined {
  try {
    return readdirSync(folder)
      .filter((name) => isImage.test(name) && !name.startsWith("."))
      .sort();
  } catch {
    return undefined;
  }
}

/** The form of a model's image input: [3,224,224], [224,224,1]; undefined for what is none. */
function formOf(
  batch: readonly BatchTensor[] | undefined,
): Pick<ImageForm, "height" | "width" | "channels" | "isLast" | "dtype"> | undefined {
  const inputs = batch?.filter(({ isTarget }) => !isTarget) ?? [];
  for (const { dtype, shape } of inputs) {
    const [a = 0, b = 0, c = 0] = shape.slice(1);
    if (shape.length !== 4) continue;
    const type = dtype === "uint8" ? "uint8" : "float32";
    if (a === 1 || a === 3) return { channels: a, height: b, width: c, isLast: false, dtype: type };
    if (c === 1 || c === 3) return { channels: c, height: a, width: b, isLast: true, dtype: type };
  }
  return undefined;
}

function settledForm({ batch, size, layout, channels, mean, std }: ImageFolderOptions, name: string): ImageForm {
  const model = formOf(batch);
  const isLast = layout ? layout === "nhwc" : (model?.isLast ?? false);
  const [height, width] =
    size === undefined ? [model?.height, model?.width] : typeof size === "number" ? [size, size] : size;
  const isPixels = (length: number | undefined): length is number => Number.isInteger(length) && (length as number) > 0;
  if (!isPixels(height) || !isPixels(width)) {
    const inputs = batch?.filter(({ isTarget }) => !isTarget).map(({ name, shape }) => `${name} [${shape}]`) ?? [];
    const why = inputs.length ? `the model takes ${few(inputs)}, none of them images` : "no size is given";
    throw new Error(`images of ${name} have no size to be brought to: ${why} (pass size: [height, width])`);
  }
  const count = channels ?? model?.channels ?? 3;
  if (count !== 1 && count !== 3) throw new Error(`images have 1 or 3 channels, not ${count}`);
  const settled = {
    mean: mean ?? (count === 3 ? [0.485, 0.456, 0.406] : [0.5]),
    std: std ?? (count === 3 ? [0.229, 0.224, 0.225] : [0.5]),
  };
  for (const [what, values] of Object.entries(settled))
    if (values.length !== count || !values.every((value) => Number.isFinite(value) && (what === "mean" || value > 0)))
      throw new Error(`${what} of images with ${count} channels is not ${count} numbers: ${values}`);
  return { height, width, channels: count, isLast, dtype: model?.dtype ?? "float32", ...settled };
}

/**
 * A folder of images, of which each class has its own folder: `FOLDER/CLASS/*.png`, jpg, jpeg or webp. Classes are numbered
 * by name. An image is turned as its camera says, resized so that it covers the size and cropped about its middle
 * (bilinear), without its transparency; columns `input` and `target`. Throws where there is none, a class has none, or
 * sharp is missing; an image that cannot be read is named when it is read.
 */
export function imageFolder(folder: string, options: ImageFolderOptions): Dataset {
  const name = path.basename(path.resolve(folder));
  const found = foldersIn(folder);
  const classes = options.classes ?? found;
  const other = found.find((one) => !classes.includes(one));
  if (other !== undefined) throw new Error(`${name}/${other} is no class of the model's data: ${few(classes)}`);
  const images = found.flatMap((one) => {
    const files = imagesIn(path.join(folder, one)) ?? [];
    if (files.length === 0) throw new Error(`no images in ${name}/${one}: .png, .jpg, .jpeg or .webp`);
    return files.map((file) => ({ file: path.join(one, file), label: classes.indexOf(one) }));
  });
  if (images.length === 0)
    throw new Error(`no images in ${name}: they stand in a folder for each class, CLASS/*.png, jpg, jpeg or webp`);
  const form = settledForm(options, name);
  sharp();
  const { channels, height, width } = form;
  const shape = form.isLast ? [height, width, channels] : [channels, height, width];
  const labels = Int32Array.from(images, ({ label }) => label);
  const fileOf = (index: number): string => (images[index] as { file: string }).file;
  return {
    name,
    count: images.length,
    classes,
    columns: [
      { name: "input", dtype: form.dtype, shape },
      { name: "target", dtype: "int32", shape: [] },
    ],
    read: (column, indices, into) =>
      column === "target"
        ? Int32Array.from(indices, (index) => labels[index] as number)
        : readImages(
            Array.from(indices, (index) => path.join(folder, fileOf(index))),
            form,
            into,
          ),
    at: (index) => `${name}/${fileOf(index)}`,
    close: () => undefined,
  };
}

/** Images as one array. */
async function readImages(files: readonly string[], form: ImageForm, into: Numbers | undefined): Promise<TypedNumbers> {
  const elements = elementCount([form.height, form.width, form.channels]);
  const given = Array.isArray(into) ? undefined : (into as TypedNumbers | undefined);
  const out = given ?? typedZeros(form.dtype, files.length * elements);
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < files.length) {
      const at = next++;
      const pixels = await readPixels(files[at] as string, form);
      place(pixels, form, out.subarray(at * elements, (at + 1) * elements) as Float32Array | Uint8Array);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, files.length) }, work));
  return out;
}

/** Rows of pixels: red, green and blue of each. */
async function readPixels(file: string, { height, width }: ImageForm): Promise<Uint8Array> {
  const bytes = readFile("image", file);
  try {
    const { data, info } = await sharp()(bytes, { limitInputPixels: mostPixels, failOn: "error" })
      .autoOrient()
      .toColourspace("srgb")
      .removeAlpha()
      .resize(width, height, { fit: "cover", kernel: "linear" })
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 3) throw new Error(`${info.channels} channels`);
    return data;
  } catch (error) {
    throw cannotRead("image", file, "no whole PNG, JPEG or WebP of a sane size", error);
  }
}

/** The grey of each pixel, as ITU-R BT.601 weighs the colours, in 16 bits behind the point; a grey pixel stays what it is. */
const greys = (pixels: Uint8Array): Uint8Array =>
  Uint8Array.from({ length: pixels.length / 3 }, (_, i) => {
    const [red, green, blue] = [pixels[3 * i] as number, pixels[3 * i + 1] as number, pixels[3 * i + 2] as number];
    return (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16;
  });

/** Puts pixels where an image's tensor lies. */
function place(pixels: Uint8Array, form: ImageForm, into: Float32Array | Uint8Array): void {
  const { height, width, channels, isLast, dtype, mean, std } = form;
  const values = channels === 1 ? greys(pixels) : pixels;
  const area = height * width;
  for (let channel = 0; channel < channels; channel++) {
    const isRaw = dtype === "uint8";
    const factor = isRaw ? 1 : 1 / (255 * (std[channel] as number));
    const summand = isRaw ? 0 : -(mean[channel] as number) / (std[channel] as number);
    const start = isLast ? channel : channel * area;
    const stride = isLast ? channels : 1;
    for (let i = 0; i < area; i++)
      into[start + i * stride] = (values[i * channels + channel] as number) * factor + summand;
  }
}
