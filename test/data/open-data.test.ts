import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import type { Dataset } from "../../src/data/dataset.js";
import { openData } from "../../src/data/open-data.js";
import { randomFrom } from "../../src/graph/random.js";
import { bytesOf } from "../../src/graph/values.js";
import { writeSafetensors } from "../../src/model/safetensors.js";
import { dataFolder, npyBytes, put, raw, zipBytes } from "../data-files.js";
import { problemOf } from "../message.js";

const folder = dataFolder();

const x = npyBytes("<f4", [4, 2], raw(Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7)));
const y = npyBytes("<i8", [4], raw(BigInt64Array.of(0n, 1n, 0n, 1n)));

/** The same four samples in every kind of file. */
function files(): string[] {
  const safetensors = path.join(folder, "a.safetensors");
  writeSafetensors(
    safetensors,
    new Map([
      ["x", { dtype: "float32" as const, shape: [4, 2], data: bytesOf("float32", [0, 1, 2, 3, 4, 5, 6, 7]) }],
      ["y", { dtype: "int64" as const, shape: [4], data: bytesOf("int64", [0, 1, 0, 1]) }],
    ]),
  );
  const arrays = path.join(folder, "arrays");
  mkdirSync(arrays, { recursive: true });
  put(arrays, "x.npy", x);
  put(arrays, "y.npy", y);
  const entries = [
    { name: "x.npy", data: x, isDeflated: true },
    { name: "y.npy", data: y },
  ];
  return [
    safetensors,
    arrays,
    put(folder, "a.npz", zipBytes(entries)),
    put(folder, "a.csv", "a,b,y\n0,1,0\n2,3,1\n4,5,0\n6,7,1\n"),
    put(folder, "A.NPZ", zipBytes(entries)),
  ];
}

test("openData reads the same samples from every kind of file", async () => {
  for (const file of files()) {
    const data = await openData(file);
    assert.deepEqual([data.name, data.count], [path.basename(file), 4]);
    const [input = "", target = ""] = data.columns.map(({ name }) => name);
    assert.deepEqual(Array.from(await data.read(input, [3, 1]), Number), [6, 7, 2, 3]);
    assert.deepEqual(Array.from(await data.read(target, [3, 0]), Number), [1, 0]);
    data.close();
  }
});

test("openData says in one line what it does not read", async () => {
  const [, , npz] = files();
  const refuse = (where: string, message: RegExp, options = {}): Promise<void> =>
    assert.rejects(
      openData(where, options),
      (error) => problemOf(error) === "" && message.test((error as Error).message),
    );
  await refuse(path.join(folder, "none.npz"), /^cannot read data: .*none.npz \(ENOENT\)$/);
  await refuse(
    put(folder, "a.parquet", "PAR1"),
    /^unknown kind of data: .*a.parquet \(use .npz, .npy, .safetensors, .csv, or a folder/,
  );
  await refuse(folder, /^no images in mutwo-data-/, { size: 8 });
  await refuse(npz as string, /^scale of data is no number beside 0: 0/, { scale: 0 });
  await refuse(npz as string, /^no column \\u001b\[31m in a.npz/, { columns: { input: "\u001b[31m" } });
  const pipe = path.join(folder, "pipe.npz");
  if (spawnSync("mkfifo", [pipe]).status === 0) {
    await refuse(pipe, /^cannot read data: .*pipe.npz \(a pipe, not a file\)$/);
    rmSync(pipe);
  }
});

/** Opens and reads all of a file. */
async function readAll(file: string): Promise<void> {
  let data: Dataset | undefined;
  try {
    data = await openData(file);
    for (const { name } of data.columns) await data.read(name, [0, data.count - 1]);
  } finally {
    data?.close();
  }
}

test("files with wrong bytes anywhere are read or refused in one line, never otherwise, and at once", async () => {
  const random = randomFrom(19);
  for (const file of files()) {
    if (path.basename(file) === "arrays" || file.endsWith("NPZ")) continue;
    const whole = readFileSync(file);
    const mutant = path.join(folder, `mutant${path.extname(file)}`);
    let refused = 0;
    for (let i = 0; i < 300; i++) {
      const bytes = Buffer.from(whole);
      const count = 1 + Math.floor(random() * 4);
      for (let k = 0; k < count; k++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      writeFileSync(mutant, i % 4 ? bytes : bytes.subarray(0, Math.floor(random() * bytes.length)));
      const started = Date.now();
      try {
        await readAll(mutant);
      } catch (error) {
        refused++;
        assert.equal(problemOf(error), "", `${path.extname(file)} ${i}: ${(error as Error).stack}`);
      }
      assert.ok(Date.now() - started < 2000, "too slow");
    }
    assert.ok(refused > 50, `${path.extname(file)}: ${refused} refused`);
  }
});
