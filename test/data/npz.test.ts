import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, readdirSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import type { Dataset } from "../../src/data/dataset.js";
import { npyData, npyFolder, npzData } from "../../src/data/npz.js";
import type { DType } from "../../src/graph/graph.js";
import { valuesOf } from "../../src/graph/values.js";
import { dataFolder, npyBytes, put, raw, zipBytes } from "../data-files.js";
import { problemOf } from "../message.js";

const fixtures = path.join(__dirname, "../fixtures/data");
const folder = dataFolder();

/** A column of some samples as numbers. */
async function numbers(data: Dataset, column: string, indices: readonly number[]): Promise<number[]> {
  const { dtype } = data.columns.find(({ name }) => name === column) ?? assert.fail(column);
  return valuesOf(dtype, raw((await data.read(column, indices)) as Float32Array));
}

const types: readonly (readonly [string, DType, (i: number) => number])[] = [
  ["f2", "float16", (i) => i / 4],
  ["f4", "float32", (i) => i / 4],
  ["f8", "float64", (i) => i / 4],
  ["i1", "int8", (i) => i - 12],
  ["i2", "int16", (i) => i - 12],
  ["i4", "int32", (i) => i - 12],
  ["i8", "int64", (i) => i - 12],
  ["u1", "uint8", (i) => i],
  ["u2", "uint16", (i) => i],
  ["u4", "uint32", (i) => i],
  ["u8", "uint64", (i) => i],
  ["b1", "bool", (i) => Number(i % 3 === 0)],
];

for (const file of ["stored.npz", "packed.npz"])
  test(`npzData reads what numpy wrote, in any type, byte order and order of indices: ${file}`, async () => {
    const data = await npzData(path.join(fixtures, file), {});
    assert.equal(data.count, 4);
    for (const [name, dtype, value] of types)
      for (const column of [name, `big_${name}`, `fortran_${name}`]) {
        assert.deepEqual(
          data.columns.find((one) => one.name === column),
          { name: column, dtype, shape: [3, 2] },
        );
        const expected = [3, 0, 1].flatMap((sample) => Array.from({ length: 6 }, (_, i) => value(6 * sample + i)));
        assert.deepEqual(await numbers(data, column, [3, 0, 1]), expected, column);
      }
    data.close();
    data.close();
  });

test("npyData reads one array; a folder's arrays are columns by their names", async () => {
  const one = await npyData(path.join(fixtures, "fortran_big.npy"), { columns: { input: "fortran_big" } });
  assert.deepEqual(one.columns, [{ name: "input", dtype: "int16", shape: [3, 2], source: "fortran_big" }]);
  assert.deepEqual(await numbers(one, "input", [2]), [12, 13, 14, 15, 16, 17]);
  const two = path.join(folder, "arrays");
  mkdirSync(two);
  put(two, "x.npy", npyBytes("<f4", [2, 2], raw(Float32Array.of(1, 2, 3, 4))));
  put(two, "y.npy", npyBytes("<i8", [2], raw(BigInt64Array.of(5n, 6n))));
  const data = await npyFolder(two, {});
  assert.deepEqual(
    data.columns.map(({ name }) => name),
    ["x", "y"],
  );
  assert.deepEqual(await numbers(data, "y", [1, 0]), [6, 5]);
  data.close();
});

test("what is no number is refused by name, with what to do", async () => {
  const file = path.join(fixtures, "others.npz");
  for (const [column, message] of [
    ["objects", /Python objects, which are not read: save numbers/],
    ["texts", /texts: save class numbers/],
    ["bytes", /texts: save class numbers/],
    ["complex", /complex numbers/],
    ["records", /records/],
    ["dates", /dates/],
    ["long", /floats of more than 64 bits/],
    ["number", /one number, no samples/],
    ["empty", /no samples in others.npz/],
  ] as const)
    await assert.rejects(npzData(file, { columns: { input: column } }), (error) => {
      assert.equal(problemOf(error), "");
      return message.test((error as Error).message) && (error as Error).message.includes("others.npz");
    });
});

test("arrays of different length have to be chosen among", async () => {
  const array = (count: number): Buffer => npyBytes("<f4", [count, 1], raw(new Float32Array(count)));
  const names = { x_train: 6, y_train: 6, x_test: 2, y_test: 2 };
  const entries = Object.entries(names).map(([name, count]) => ({ name: `${name}.npy`, data: array(count) }));
  const file = put(folder, "keras.npz", zipBytes(entries));
  await assert.rejects(npzData(file, {}), /columns of different length in keras.npz: x_train 6, x_test 2; choose/);
  const data = await npzData(file, { columns: { input: "x_test", target: "y_test" } });
  assert.deepEqual(
    [data.count, ...data.columns.map(({ name, source }) => `${name} ${source}`)],
    [2, "input x_test", "target y_test"],
  );
  assert.deepEqual(data.fields, Object.keys(names));
  data.close();
  await assert.rejects(
    npzData(file, { columns: { input: "z" } }),
    /no column z in keras.npz; there are x_train, y_train, x_test, y_test$/,
  );
});

test("a large array stays in its file, and a file that becomes shorter is told", async () => {
  const [count, width] = [600, 2 ** 15];
  const values = new Float32Array(count * width);
  for (let i = 0; i < count; i++) values[i * width] = i;
  const array = npyBytes("<f4", [count, width], raw(values));
  const file = put(folder, "large.npy", array);
  const packed = put(folder, "large.npz", zipBytes([{ name: "large.npy", data: array }]));
  const before = process.memoryUsage().arrayBuffers;
  for (const data of [await npyData(file, {}), await npzData(packed, {})]) {
    assert.ok(process.memoryUsage().arrayBuffers - before < 1e6, "held in memory");
    const into = new Float32Array(3 * width);
    const read = await data.read("large", [599, 7, 8], into);
    assert.equal(read, into);
    assert.deepEqual([read[0], read[width], read[2 * width]], [599, 7, 8]);
    truncateSync(data.name === "large.npy" ? file : packed, 1000);
    await assert.rejects(
      async () => data.read("large", [599]),
      /cannot read data: .*large.np[yz] \(it has become shorter\)/,
    );
    data.close();
  }
});

test("an .npy cut at any byte is refused in one line; bytes behind it are let be", async () => {
  const whole = npyBytes("<f8", [3, 4], raw(new Float64Array(12)));
  const file = path.join(folder, "cut.npy");
  for (let length = 0; length < whole.length; length += 5) {
    writeFileSync(file, whole.subarray(0, length));
    await assert.rejects(
      npyData(file, {}),
      (error) => problemOf(error) === "" && /cut.npy \(truncated/.test((error as Error).message),
    );
  }
  writeFileSync(file, whole);
  appendFileSync(file, "more");
  assert.equal((await npyData(file, {})).count, 3);
});

test("npzData closes its file where it refuses it", { skip: process.platform !== "linux" }, async () => {
  const open = (): number => readdirSync("/proc/self/fd").length;
  const before = open();
  for (let i = 0; i < 5; i++) await assert.rejects(npzData(path.join(fixtures, "others.npz"), {}));
  assert.equal(open(), before);
});
