import assert from "node:assert/strict";
import { closeSync, ftruncateSync, openSync, statSync, writeSync } from "node:fs";
import path from "node:path";
import { after, test } from "node:test";
import { type Archive, firstBytes, readZip, unpacked, type ZipEntry } from "../../src/data/zip.js";
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

/** Such an archive in the one file that is written again and again. */
const scratch = openSync(path.join(folder, "scratch.npz"), "w+");
after(() => closeSync(scratch));
function archiveAs(bytes: Uint8Array): Archive {
  ftruncateSync(scratch, 0);
  writeSync(scratch, bytes, 0, bytes.length, 0);
  return { file: path.join(folder, "scratch.npz"), descriptor: scratch, bytes: bytes.length };
}

const entries = [
  { name: "a.npy", data: text, isDeflated: true },
  { name: "b.npy", data: text },
];

test("readZip lists an archive, unpacked gives back what went in, a comment behind it or not", async () => {
  for (const comment of ["", "made by hand"]) {
    const archive = archiveOf(zipBytes(entries, comment));
    const [a, b] = (await readZip(archive)) as [ZipEntry, ZipEntry];
    assert.deepEqual(
      [a.name, a.isDeflated, a.bytes, b.name, b.isDeflated, b.bytes],
      ["a.npy", true, 8000, "b.npy", false, 8000],
    );
    for (const entry of [a, b]) assert.deepEqual(await unpacked(archive, entry), text);
    assert.deepEqual(await firstBytes(archive, b, 16), text.subarray(0, 16));
    assert.equal((await firstBytes(archive, a, 64)).subarray(0, 8).toString(), "numbers ");
    assert.equal((await b.start()) + 8000 <= archive.bytes, true);
  }
});

test("readZip reads numpy's 64-bit headers: those of stored.npz", async () => {
  const file = path.join(__dirname, "../fixtures/data/stored.npz");
  const descriptor = openSync(file, "r");
  after(() => closeSync(descriptor));
  const archive = { file, descriptor, bytes: statSync(file).size };
  const found = await readZip(archive);
  assert.equal(found.length, 36);
  for (const entry of found) assert.equal((await firstBytes(archive, entry, 6)).toString("latin1"), "\x93NUMPY");
});

test("an archive cut at any byte is refused in one line of our own", async () => {
  const whole = zipBytes(entries);
  for (let length = 0; length < whole.length; length += 97) {
    const archive = archiveOf(whole.subarray(0, length));
    await assert.rejects(
      readZip(archive),
      (error) =>
        problemOf(error) === "" && /^cannot read data: .*truncated or damaged\)$/.test((error as Error).message),
    );
  }
});

test("bytes behind an archive are refused", async () => {
  const archive = archiveOf(Buffer.concat([zipBytes(entries), Buffer.from("more")]));
  await assert.rejects(readZip(archive), /not a zip archive, or one that does not end where the file does/);
});

test("what an archive says of itself is not believed: sizes, sums, bombs", async () => {
  const refused = async (said: object, isDeflated: boolean, message: RegExp): Promise<void> => {
    const archive = archiveOf(zipBytes([{ name: "a.npy", data: text, isDeflated, said }]));
    const run = async (): Promise<void> => {
      for (const entry of await readZip(archive)) await unpacked(archive, entry);
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

/** The archive with a 64-bit end of its directory, which says the same but for what is `said`. */
function withWideEnd(bytes: Buffer, said: { count?: bigint; offset?: bigint; record?: bigint } = {}): Buffer {
  const body = bytes.subarray(0, -22);
  const end = bytes.subarray(-22);
  const record = Buffer.alloc(56);
  record.writeUInt32LE(0x06064b50, 0);
  record.writeBigUInt64LE(said.count ?? BigInt(end.readUInt16LE(10)), 32);
  record.writeBigUInt64LE(said.offset ?? BigInt(end.readUInt32LE(16)), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(said.record ?? BigInt(body.length), 8);
  return Buffer.concat([body, record, locator, end]);
}

const isRefusal = (error: unknown): boolean =>
  problemOf(error) === "" && /^cannot read data: .*npz \(.*\)$/.test((error as Error).message);

test("64-bit forms are read, and offsets and counts that they make up are refused, beyond 2^53 too", async () => {
  const whole = zipBytes(entries);
  assert.equal((await readZip(archiveOf(withWideEnd(whole)))).length, 2);
  for (const value of [2n ** 31n, 2n ** 53n, 2n ** 60n, 2n ** 64n - 1n])
    for (const field of ["count", "offset", "record"])
      await assert.rejects(readZip(archiveOf(withWideEnd(whole, { [field]: value }))), isRefusal, `${field} ${value}`);
});

test("an archive with any byte changed is read, or refused in one line of our own", async () => {
  const short = entries.map((entry) => ({ ...entry, data: text.subarray(0, 100) }));
  const whole = withWideEnd(zipBytes(short));
  let refused = 0;
  for (let at = 0; at < whole.length; at++)
    for (const byte of [0, 0x7f, 0xff]) {
      const changed = Buffer.from(whole);
      changed[at] = byte;
      const archive = archiveAs(changed);
      try {
        for (const entry of await readZip(archive)) {
          await firstBytes(archive, entry, 64);
          await unpacked(archive, entry);
        }
      } catch (error) {
        assert.ok(isRefusal(error), `byte ${at} = ${byte}: ${error}`);
        refused++;
      }
    }
  assert.ok(refused > whole.length, `${refused} refused`);
});

test("a directory is read up to 32 MiB", async () => {
  const texts = 0xffff; // the longest comment
  const record = Buffer.alloc(46 + texts);
  zipBytes([{ name: "", data: Buffer.alloc(0) }]).copy(record, 0, 30, 76);
  record.writeUInt16LE(texts, 32);
  const end = zipBytes([{ name: "", data: Buffer.alloc(0) }]).subarray(-22);
  const archiveWith = (count: number): Archive => {
    const directory = Array.from({ length: count }, () => record);
    const places = Buffer.from(end);
    places.writeUInt16LE(count, 10);
    places.writeUInt32LE(0, 16);
    return archiveAs(Buffer.concat([...directory, places]));
  };
  assert.equal((await readZip(archiveWith(500))).length, 500);
  await assert.rejects(readZip(archiveWith(520)), /a directory of more than 32.0 MiB/);
});

test("names are read as they are written: folders, roots, drives", async () => {
  const names = ["a/b.npy", "../c.npy", "/d.npy", "C:\\e.npy"];
  const found = await readZip(archiveOf(zipBytes(names.map((name) => ({ name, data: text })))));
  assert.deepEqual(
    found.map(({ name }) => name),
    names,
  );
});
