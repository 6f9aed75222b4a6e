import assert from "node:assert/strict";
import { test } from "node:test";
import type { ColumnChoice } from "../../src/data/arrays.js";
import { frameData, tableColumns } from "../../src/data/table.js";
import { danfo } from "../../src/report/danfo.js";
import { problemOf } from "../message.js";

const rows = [
  [1, 2.5, "no"],
  [2, 3.5, "yes"],
  [3, 4.5, "no"],
];

test("frameData takes a danfo DataFrame: numbers side by side as input, a target of texts as class numbers by name", async () => {
  const dfd = danfo();
  const data = frameData(new dfd.DataFrame(rows, { columns: ["age", "size", "label"] }) as never, { name: "people" });
  assert.deepEqual([data.name, data.count, data.classes], ["people", 3, ["no", "yes"]]);
  assert.deepEqual(data.columns, [
    { name: "input", dtype: "float64", shape: [2], isFlat: true, source: "age+size" },
    { name: "target", dtype: "int64", shape: [], isFlat: true, source: "label" },
  ]);
  assert.deepEqual(await data.read("input", [2, 0]), Float64Array.of(3, 4.5, 1, 2.5));
  assert.deepEqual(await data.read("target", [0, 1, 2]), BigInt64Array.of(0n, 1n, 0n));
  assert.equal(data.at?.(1), "row 2");
});

test("columns of a table are chosen by name, and classes are those of the data that was trained on", async () => {
  const table = { columns: ["age", "size", "answer"], values: rows };
  const data = frameData(table, {
    columns: { input: ["size"], age: "age", target: "answer" },
    classes: ["yes", "maybe", "no"],
  });
  assert.deepEqual(await data.read("target", [0, 1]), BigInt64Array.of(2n, 0n));
  assert.deepEqual(await data.read("input", [1]), Float64Array.of(3.5));
  assert.deepEqual(await data.read("age", [1]), Float64Array.of(2));
  assert.throws(
    () => frameData(table, { columns: { input: "age", target: "answer" }, classes: ["yes"] }),
    /row 1, column answer of table is no class: "no", not one of yes/,
  );
  assert.throws(
    () => frameData(table, { columns: { input: "weight" } }),
    /no column weight in table; there are age, size, answer/,
  );
});

test("of a table's input and target the one that is not named is what it is by default", () => {
  const values = [[1, 2, 3, 4]];
  const of = (columns: readonly string[], choice: ColumnChoice): string[] =>
    frameData({ columns, values }, { columns: choice }).columns.map(({ name, source }) => `${name} ${source ?? name}`);
  assert.deepEqual(of(["a", "b", "c", "d"], { target: "c" }), ["target c", "input a+b+d"]);
  assert.deepEqual(of(["a", "b", "c", "y"], { input: "b" }), ["input b", "target y"]);
  assert.deepEqual(of(["a", "b", "c", "y"], { ids: "a", mask: "y" }), ["ids a", "mask y"]);
  assert.deepEqual(of(["a", "b", "c", "y"], { labels: "a", input: "b" }), ["labels a", "input b"]);
  assert.throws(() => of(["", "b", "c", "d"], { target: "c" }), /a column without a name in table/);
});

test("a target of numbers stays one, whether they are classes or not", async () => {
  const data = frameData({
    columns: ["x", "y"],
    values: [
      [1, 7],
      [2, 0.5],
      [3, -7],
    ],
  });
  assert.equal(data.classes, undefined);
  assert.deepEqual(await data.read("target", [0, 1, 2]), Float64Array.of(7, 0.5, -7));
});

test("what is missing, not finite or no number is refused with row and column", () => {
  for (const [cell, message] of [
    [Number.NaN, "row 2, column x of table is missing"],
    [null, "row 2, column x of table is missing"],
    [undefined, "row 2, column x of table is missing"],
    ["  ", "row 2, column x of table is missing"],
    ["NaN", "row 2, column x of table is missing: NaN"],
    ["n/a", "row 2, column x of table is missing: n/a"],
    [Number.POSITIVE_INFINITY, "row 2, column x of table is not finite"],
    ["-inf", "row 2, column x of table is not finite"],
    ["1e999", "row 2, column x of table is beyond float64"],
    ["0x10", 'row 2, column x of table is no number: "0x10"'],
    ["red", 'row 2, column x of table is no number: "red"'],
  ] as const)
    assert.throws(
      () =>
        frameData({
          columns: ["x", "y"],
          values: [
            [1, 1],
            [cell, 1],
          ],
        }),
      (error) => problemOf(error) === "" && (error as Error).message === message,
    );
  assert.throws(() => frameData({ columns: ["x", "y"], values: [[1, 1], [2]] }), /row 2 of table has 1 cells, not 2/);
  assert.throws(() => frameData({ columns: ["x", "x"], values: [] }), /two columns called "x" in table/);
  assert.throws(() => frameData({ columns: ["x"], values: [] }), /no samples in table/);
  assert.throws(() => frameData(7 as never), /no table of rows and columns: table/);
  assert.throws(
    () => frameData({ columns: ["x"], values: [[1], [""]] }, { columns: { target: "x" } }),
    /row 2, column x of table is missing/,
  );
});

test("tableColumns takes cells as a file has them, and yes and no as 1 and 0", async () => {
  const table = tableColumns("t", ["x", "y"], {});
  for (let i = 0; i < 1000; i++) table.add([` ${i}.5e1 `, i % 2 ? "true" : "False"]);
  const data = table.dataset();
  assert.deepEqual(await data.read("input", [999]), Float64Array.of(9995));
  assert.deepEqual(await data.read("target", [998, 999]), Float64Array.of(0, 1));
});
