import assert from "node:assert/strict";
import { closeSync, openSync, statSync } from "node:fs";
import path from "node:path";
import { after, test } from "node:test";
import { type Archive, firstBytes, readZip, startOf, unpacked, type ZipEntry } from "../../src/data/zip.js";
import { dataFolder, put, zipBytes } from "../data-files.js";
import { problemOf } from "../message.js";

const folder = dataFolder();
const text = Buffer.from("numbers ".repeat(1000));
let made = 0;

function archiveOf(bytes: Uint8Array): Archive {
  const file = put(folder, `${made++}.npz`, bytes);
  const descriptor = openSync(file, "r");
  after(() => closeSync(descriptor));
  return { file, descriptor, bytes: statSync(file).size };
}

const entries = [
  { name: "a.npy", data: text, isDeflated: true },
  { name: "b.npy", data: text },
];

test("readZip lists an archive, unpacked gives back what went in, a comment behind it or not", async () => {
  for (const comment of ["", "made by hand"]) {
    const archive = archiveOf(zipBytes(entries, comment));
    const [a, b] = readZip(archive) as [ZipEntry, ZipEntry];
    assert.deepEqual(
      [a.name, a.isDeflated, a.bytes, b.name, b.isDeflated, b.bytes],
      ["a.npy", true, 8000, "b.npy", false, 8000],
    );
    for (const entry of [a, b]) assert.deepEqual(await unpacked(archive, entry), text);
    assert.deepEqual(firstBytes(archive, b, 16), text.subarray(0, 16));
    assert.equal(firstBytes(archive, a, 64).subarray(0, 8).toString(), "numbers ");
    assert.equal(startOf(archive, b) + 8000 <= archive.bytes, true);
  }
});

test("readZip reads numpy's 64-bit headers: those of stored.npz", () => {
  const file = path.join(__dirname, "../fixtures/data/stored.npz");
  const descriptor = openSync(file, "r");
  after(() => closeSync(descriptor));
  const archive = { file, descriptor, bytes: statSync(file).size };
  const found = readZip(archive);
  assert.equal(found.length, 36);
  for (const entry of found) assert.equal(firstBytes(archive, entry, 6).toString("latin1"), "\x93NUMPY");
});

test("an archive cut at any byte is refused in one line of our own", async () => {
  const whole = zipBytes(entries);
  for (let length = 0; length < whole.length; length += 97) {
    const archive = archiveOf(whole.subarray(0, length));
    assert.throws(
      () => readZip(archive),
      (error) =>
        problemOf(error) === "" && /^cannot read data: .*truncated or damaged\)$/.test((error as Error).message),
    );
  }
});

test("what an archive says of itself is not believed: sizes, sums, bombs", async () => {
  const refused = async (said: object, isDeflated: boolean, message: RegExp): Promise<void> => {
    const archive = archiveOf(zipBytes([{ name: "a.npy", data: text, isDeflated, said }]));
    const run = async (): Promise<void> => {
      for (const entry of readZip(archive)) await unpacked(archive, entry);
    };
    await assert.rejects(run, (error) => problemOf(error) === "" && message.test((error as Error).message));
  };
  await refused({ bytes: 100 }, true, /a.npy cannot be unpacked/);
  await refused({ bytes: 9000 }, true, /a.npy does not unpack to what it was/);
  await refused({ crc: 1 }, true, /a.npy does not unpack to what it was/);
  await refused({ crc: 1 }, false, /a.npy does not unpack to what it was/);
  await refused({ bytes: 9000 }, false, /a.npy has two sizes/);
  await refused({ bytes: 2 ** 31 }, true, /a.npy says that .* unpack to 2.00 GiB/);
  await refused({ method: 12 }, false, /a.npy is packed by method 12; save it by np.savez/);
  await refused({ flags: 1 }, false, /a.npy is encrypted/);
});
