import assert from "node:assert/strict";
import { test } from "node:test";
import type { ColumnChoice } from "../../src/data/arrays.js";
import type { BatchTensor } from "../../src/data/batch.js";
import type { DataColumn, Dataset } from "../../src/data/dataset.js";
import { checkNumbers, matchColumns } from "../../src/data/match.js";
import { tableColumns } from "../../src/data/table.js";
import type { DType } from "../../src/graph/graph.js";
import { messageLine } from "../../src/graph/message.js";
import { problemOf } from "../message.js";

const column = (name: string, dtype: DType, shape: readonly number[], more: Partial<DataColumn> = {}): DataColumn => ({
  name,
  dtype,
  shape,
  ...more,
});

const dataOf = (columns: readonly DataColumn[], more: Partial<Dataset> = {}): Dataset => ({
  name: "d.npz",
  count: 100,
  columns,
  read: () => [],
  close: () => undefined,
  ...more,
});

const input: BatchTensor = { name: "pixels", dtype: "float32", shape: [8, 1, 4, 4], isTarget: false };
const target: BatchTensor = { name: "target", dtype: "int64", shape: [8], limit: 10, isTarget: true };

const matched = (columns: readonly DataColumn[], batch: readonly BatchTensor[]): string[] =>
  matchColumns(dataOf(columns), batch).map(
    ({ column, tensor, elements }) => `${tensor.name}=${column.name} ${elements}`,
  );

test("matchColumns finds the target and the one input by the names that they may have", () => {
  for (const name of ["target", "label", "labels", "y"])
    for (const one of ["pixels", "input", "x", "image"])
      assert.deepEqual(matched([column(one, "float32", [4, 4]), column(name, "uint8", [])], [input, target]), [
        `target=${name} 1`,
        `pixels=${one} 16`,
      ]);
  // what is left
  assert.deepEqual(matched([column("data", "uint8", [4, 4, 1]), column("y", "int32", [1])], [input, target]), [
    "target=y 1",
    "pixels=data 16",
  ]);
});

test("matchColumns takes columns of several inputs by their own names only", () => {
  const other: BatchTensor = { name: "ids", dtype: "int64", shape: [8, 5], limit: 50, isTarget: false };
  const columns = [column("ids", "int32", [5]), column("pixels", "uint8", [4, 4])];
  assert.deepEqual(matched(columns, [input, other]), ["pixels=pixels 16", "ids=ids 5"]);
  assert.throws(
    () => matched([column("x", "int32", [5]), column("pixels", "uint8", [4, 4])], [input, other]),
    /no column for input ids in d.npz: none called ids; there are x, pixels \(say which, as by --columns pixels=NAME,ids=NAME\)/,
  );
});

test("a table's numbers fit any shape with as many elements; rows of dimension 0 may belong to one sample", () => {
  assert.deepEqual(matched([column("x", "float64", []), column("input", "float64", [16], { isFlat: true })], [input]), [
    "pixels=input 16",
  ]);
  const tokens: BatchTensor = { ...target, shape: [40] };
  assert.deepEqual(
    matched([column("x", "float32", [16], { isFlat: true }), column("y", "int64", [5])], [input, tokens])[0],
    "target=y 5",
  );
});

test("matchColumns names a table's columns where none is the target, with an option that chooses", () => {
  const batch: readonly BatchTensor[] = [
    { name: "features", dtype: "float32", shape: [8, 3], isTarget: false },
    { name: "target", dtype: "float32", shape: [8, 1], isTarget: true },
  ];
  const tableOf = (fields: readonly string[], columns?: ColumnChoice): Dataset => {
    const table = tableColumns("reg.csv", fields, { columns });
    table.add(fields.map((_, i) => i));
    return table.dataset();
  };
  const message = (fields: readonly string[], columns?: ColumnChoice): string => {
    try {
      matchColumns(tableOf(fields, columns), batch);
    } catch (error) {
      const line = messageLine((error as Error).message);
      assert.equal(problemOf(new Error(line)), "");
      return line.replace(/^no column for the target in reg.csv: none called target, label, labels, y; /, "");
    }
    return "";
  };
  const fields = ["age", "income", "rooms", "price"];
  assert.equal(message(fields), "there are age, income, rooms, price (say which, as by --columns target=price)");
  assert.equal(
    message([...fields, "sale price"], { input: ["age", "income", "price"] }),
    "there are age, income, rooms, price, sale price (say which, as by --columns 'target=sale price')",
  );
  assert.equal(
    message([...fields, "a=b,c"]),
    "there are age, income, rooms, price, a=b,c (say which, as by --columns features=NAME,target=NAME)",
  );
  const many = Array.from({ length: 200 }, (_, i) => `feature_${i}`);
  assert.match(message(many), /, feature_8, … \(200 in all\) \(say which, as by --columns target=feature_199\)$/);
  const long = many.map((name) => name.padEnd(300, "x"));
  assert.match(message(long), /^there are feature_0x+…x+, .*say which, as by --columns features=NAME,target=NAME\)$/);
  // the option does what it says
  assert.deepEqual(
    matchColumns(tableOf(fields, { target: "price" }), batch).map(({ column }) => column.source),
    ["price", "age+income+rooms"],
  );
  assert.equal(message(fields, { target: "price" }), "");
});

test("matchColumns says both where shapes do not fit, in one line", () => {
  for (const [columns, batch, message] of [
    [
      [column("x", "uint8", [28, 28], { source: "x_train" })],
      [input],
      "shape mismatch: a sample of x_train in d.npz is uint8[28,28], of input pixels float32[1,4,4]",
    ],
    [
      [column("x", "float32", [4, 4]), column("y", "int64", [3])],
      [input, target],
      "shape mismatch: a sample of y in d.npz is int64[3], of the target int64[]",
    ],
    [
      [column("x", "float32", [4, 4])],
      [input, target],
      "no column for the target in d.npz: none called target, label, labels, y; there is x (say which, as by --columns pixels=NAME,target=NAME)",
    ],
    [
      [],
      [input],
      "no column for input pixels in d.npz: none called pixels, input, x, image; there is none (say which, as by --columns pixels=NAME)",
    ],
    [
      [column("pixels", "float32", [4, 4]), column("mask", "float32", [3])],
      [input, { name: "mask", dtype: "float32", shape: [3, 3], isTarget: false }],
      "mask [3,3] has no dimension that counts the 8 samples of a batch: give it in batches of your own",
    ],
  ] as const)
    assert.throws(
      () => matched(columns as readonly DataColumn[], batch as readonly BatchTensor[]),
      (error) => problemOf(error) === "" && assert.equal((error as Error).message, message) === undefined,
    );
  const many = dataOf([column("x", "float32", [16]), column("y", "int64", [])], { classes: Array(11).fill("c") });
  assert.throws(
    () => matchColumns(many, [{ ...input, shape: [8, 16] }, target]),
    /d.npz has 11 classes, the model's output 10/,
  );
});

test("checkNumbers names the first number out of range: value, column, file, place, limit; once it has looked, it does not again", async () => {
  let reads = 0;
  const values = BigInt64Array.from({ length: 100 }, (_, i) => BigInt(i % 10));
  const data = dataOf([column("x", "float32", [4, 4]), column("y", "int64", [], { source: "classes" })], {
    read: (_, indices) => {
      reads++;
      return BigInt64Array.from(indices, (index) => values[index] as bigint);
    },
  });
  const matches = matchColumns(data, [input, target]);
  values[77] = 10n;
  await assert.rejects(checkNumbers(data, matches), (error) => {
    assert.equal(problemOf(error), "");
    assert.equal(
      (error as Error).message,
      "10 in column classes of d.npz is out of range (sample 77, from 0): the model has classes 0 to 9",
    );
    return true;
  });
  values[77] = -100n;
  await assert.rejects(checkNumbers(data, matches), /-100 in column classes .*classes 0 to 9$/);
  const ignoring = matchColumns(data, [input, { ...target, ignoreIndex: -100 }]);
  await checkNumbers(data, ignoring);
  reads = 0;
  await checkNumbers(data, ignoring);
  assert.equal(reads, 0);
});

test("checkNumbers looks through indices and floats that have to be whole, and names rows as the data does", async () => {
  const ids: BatchTensor = { name: "ids", dtype: "int64", shape: [8, 5], limit: 50, isTarget: false };
  const data = dataOf([column("ids", "float64", [5])], {
    at: (index) => `row ${index + 1}`,
    read: (_, indices) => Float64Array.from({ length: 5 * indices.length }, (_, i) => (i === 5 * 42 + 3 ? 2.5 : 49)),
  });
  await assert.rejects(
    checkNumbers(data, matchColumns(data, [ids])),
    /^Error: 2.5 in column ids of d.npz is out of range \(row 43\): ids takes 0 to 49$/,
  );
  const whole = { ...ids, limit: undefined } as unknown as BatchTensor;
  await assert.rejects(
    checkNumbers(data, matchColumns(data, [whole])),
    /2.5 in column ids .*int64 takes whole numbers$/,
  );
  await assert.rejects(
    checkNumbers(data, matchColumns(data, [{ ...ids, limit: 40 }]), AbortSignal.abort(new Error("enough"))),
    /enough/,
  );
});
