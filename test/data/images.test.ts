import assert from "node:assert/strict";
import { mkdirSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { before, test } from "node:test";
import sharp from "sharp";
import type { BatchTensor } from "../../src/data/batch.js";
import { batchesOf } from "../../src/data/batches.js";
import { type ImageFolderOptions, imageFolder } from "../../src/data/images.js";
import { dataFolder, put } from "../data-files.js";
import { problemOf } from "../message.js";

const folder = dataFolder();
const photos = path.join(folder, "photos");

/** An image of one colour, whose left half may be another. */
const image = (width: number, height: number, colour: string, left?: string) => {
  const whole = sharp({ create: { width, height, channels: 4, background: colour } });
  if (!left) return whole;
  const half = { create: { width: width / 2, height, channels: 4 as const, background: left } };
  return whole.composite([{ input: half, left: 0, top: 0 }]);
};

before(async () => {
  for (const name of ["dogs", "cats"]) mkdirSync(path.join(photos, name), { recursive: true });
  await image(8, 8, "#ff0000").png().toFile(path.join(photos, "cats/1.png"));
  await image(40, 20, "#00ff00", "#0000ff")
    .jpeg({ quality: 100, chromaSubsampling: "4:4:4" })
    .toFile(path.join(photos, "dogs/b.JPG"));
  await image(20, 40, "#336699").webp({ lossless: true }).toFile(path.join(photos, "dogs/a.webp"));
  put(path.join(photos, "dogs"), "notes.txt", "no image");
  put(photos, "README.md", "no class");
  mkdirSync(path.join(photos, ".hidden"));
});

const plain: ImageFolderOptions = { size: 4, mean: [0, 0, 0], std: [1, 1, 1] };

test("imageFolder numbers classes by name, and images by class and name", async () => {
  const data = imageFolder(photos, { ...plain });
  assert.deepEqual([data.name, data.count, data.classes], ["photos", 3, ["cats", "dogs"]]);
  assert.deepEqual(data.columns, [
    { name: "input", dtype: "float32", shape: [3, 4, 4] },
    { name: "target", dtype: "int32", shape: [] },
  ]);
  assert.deepEqual(await data.read("target", [0, 1, 2]), Int32Array.of(0, 1, 1));
  assert.deepEqual(
    [0, 1, 2].map((index) => data.at?.(index)),
    ["photos/cats/1.png", "photos/dogs/a.webp", "photos/dogs/b.JPG"],
  );
  assert.deepEqual(imageFolder(photos, { ...plain, classes: ["dogs", "cats"] }).classes, ["dogs", "cats"]);
  assert.throws(
    () => imageFolder(photos, { ...plain, classes: ["dogs"] }),
    /photos\/cats is no class of the model's data: dogs/,
  );
});

/** The red, green and blue of a place of an image, in NCHW. */
const pixel = (values: Float32Array, image: number, size: number, at: number): number[] =>
  [0, 1, 2].map((channel) =>
    Math.round(255 * (values[image * 3 * size * size + channel * size * size + at] as number)),
  );

test("images are brought to a size without a change of form, NCHW or NHWC, floats or bytes", async () => {
  const data = imageFolder(photos, plain);
  const values = (await data.read("input", [0, 1, 2])) as Float32Array;
  assert.deepEqual(pixel(values, 0, 4, 5), [255, 0, 0]);
  assert.deepEqual(pixel(values, 1, 4, 10), [0x33, 0x66, 0x99]);
  // the middle of 40 by 20: blue to the left, green to the right
  const near = (a: readonly number[], z: readonly number[]) =>
    a.forEach((value, i) => void assert.ok(Math.abs(value - (z[i] as number)) < 8, `${a}`));
  near(pixel(values, 2, 4, 4), [0, 0, 255]);
  near(pixel(values, 2, 4, 7), [0, 255, 0]);
  const last = (await imageFolder(photos, { ...plain, layout: "nhwc" }).read("input", [1])) as Float32Array;
  assert.deepEqual(
    [...last.subarray(0, 3)].map((value) => Math.round(255 * value)),
    [0x33, 0x66, 0x99],
  );
  const bytes: BatchTensor = { name: "x", dtype: "uint8", shape: [1, 4, 6, 3], isTarget: false };
  const raw = imageFolder(photos, { batch: [bytes] });
  assert.deepEqual(raw.columns[0], { name: "input", dtype: "uint8", shape: [4, 6, 3] });
  assert.deepEqual([...((await raw.read("input", [1])) as Uint8Array).subarray(0, 3)], [0x33, 0x66, 0x99]);
});

test("images take size, layout and channels from the model's input, ImageNet's mean and deviation, grey by BT.601", async () => {
  const batch = (shape: readonly number[]): ImageFolderOptions => ({
    batch: [{ name: "x", dtype: "float32", shape, isTarget: false }],
  });
  const colour = imageFolder(photos, batch([2, 3, 4, 4]));
  const values = (await colour.read("input", [1])) as Float32Array;
  [0x33, 0x66, 0x99].forEach((value, channel) => {
    const [mean, std] = [[0.485, 0.456, 0.406][channel] as number, [0.229, 0.224, 0.225][channel] as number];
    assert.ok(Math.abs((values[16 * channel] as number) - (value / 255 - mean) / std) < 1e-6);
  });
  const grey = imageFolder(photos, batch([2, 5, 7, 1]));
  assert.deepEqual(grey.columns[0]?.shape, [5, 7, 1]);
  const expected = Math.round(0.299 * 0x33 + 0.587 * 0x66 + 0.114 * 0x99);
  assert.ok(
    Math.abs((((await grey.read("input", [1])) as Float32Array)[3] as number) - (expected / 255 - 0.5) / 0.5) < 1e-6,
  );
  assert.throws(
    () => imageFolder(photos, batch([2, 10])),
    /images of photos have no size to be brought to: the model takes x \[2,10\], none of them images \(pass size: \[height, width\]\)/,
  );
  assert.throws(() => imageFolder(photos, {}), /no size is given/);
  assert.throws(
    () => imageFolder(photos, { size: 4, channels: 1, std: [1, 2] }),
    /std of images with 1 channels is not 1 numbers: 1,2/,
  );
  assert.throws(() => imageFolder(photos, { size: 4, channels: 2 as 3 }), /images have 1 or 3 channels, not 2/);
});

test("a photograph lies as its camera says", async () => {
  const turned = path.join(folder, "turned");
  mkdirSync(path.join(turned, "a"), { recursive: true });
  await image(16, 16, "#ffffff", "#000000")
    .jpeg({ quality: 100 })
    .withMetadata({ orientation: 3 })
    .toFile(path.join(turned, "a/1.jpg"));
  const values = (await imageFolder(turned, plain).read("input", [0])) as Float32Array;
  assert.ok((values[0] as number) > 0.9 && (values[3] as number) < 0.1);
});

test("an image that cannot be read is named, when its batch is asked for", async () => {
  const broken = path.join(folder, "broken");
  for (const name of ["a", "b"]) mkdirSync(path.join(broken, name), { recursive: true });
  await image(64, 64, "#123456").png().toFile(path.join(broken, "a/1.png"));
  const noise = Buffer.from(Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 7919) % 251));
  await sharp(noise, { raw: { width: 64, height: 64, channels: 3 } })
    .png()
    .toFile(path.join(broken, "b/2.png"));
  const whole = path.join(broken, "b/2.png");
  truncateSync(whole, Math.floor(statSync(whole).size / 2));
  const batch: readonly BatchTensor[] = [
    { name: "x", dtype: "float32", shape: [1, 3, 8, 8], isTarget: false },
    { name: "target", dtype: "int64", shape: [1], limit: 2, isTarget: true },
  ];
  const data = imageFolder(broken, { batch });
  const seen: unknown[] = [];
  await assert.rejects(
    async () => {
      for await (const { tensors } of batchesOf(data, { batch, batchSize: 1, last: "drop" })) seen.push(tensors.target);
    },
    (error) =>
      problemOf(error) === "" &&
      /^cannot read image: .*broken\/b\/2.png \(no whole PNG, JPEG or WebP of a sane size\)$/.test(
        (error as Error).message,
      ),
  );
  assert.equal(seen.length, 1);
  writeFileSync(path.join(broken, "b/2.png"), "");
  await assert.rejects(async () => data.read("input", [1]), /b\/2.png \(no whole PNG/);
});

test("folders without classes or images are refused, by name", () => {
  const empty = path.join(folder, "empty");
  mkdirSync(path.join(empty, "a"), { recursive: true });
  assert.throws(() => imageFolder(empty, plain), /no images in empty\/a: .png, .jpg, .jpeg or .webp/);
  const none = path.join(folder, "none");
  mkdirSync(none);
  assert.throws(() => imageFolder(none, plain), /no images in none: they stand in a folder for each class/);
  symlinkSync(path.join(folder, "photos/cats"), path.join(none, "linked"));
  assert.equal(imageFolder(none, plain).count, 1);
});
