import assert from "node:assert/strict";
import { test } from "node:test";
import { csvData } from "../../src/data/csv.js";
import { dataFolder, put } from "../data-files.js";
import { problemOf } from "../message.js";

const folder = dataFolder();

test("csvData reads quotes, empty lines, a mark of UTF-8 and spaces around names", async () => {
  const file = put(folder, "a.csv", '\ufeffx, label \r\n1.5,"red, dark"\r\n\r\n2.5,blue\r\n');
  const data = csvData(file, { columns: { input: "x", target: "label" } });
  assert.deepEqual([data.name, data.count, data.classes], ["a.csv", 2, ["blue", "red, dark"]]);
  assert.deepEqual(await data.read("input", [0, 1]), Float64Array.of(1.5, 2.5));
  assert.deepEqual(await data.read("target", [0, 1]), BigInt64Array.of(1n, 0n));
});

test("csvData refuses a missing cell, NaN, and a file without rows, in one line that names the file", () => {
  for (const [text, message] of [
    ["x,y\n1,2\n3,\n", "row 2, column y of b.csv is missing"],
    ["x,y\n1,2\nNaN,4\n", "row 2, column x of b.csv is missing: NaN"],
    ["x,y\n1,2\n3\n", "row 2 of b.csv has 1 cells, not 2"],
    ["x,y\n", "no samples in b.csv"],
    ["", "no samples in b.csv"],
    ['x,y\n1,"2\n3,4\n', "a quote that does not end in b.csv"],
    [
      ",x,y\n0,1,2\n",
      "a column without a name in b.csv: an index is no feature (save it without, or choose by columns)",
    ],
    ["x,x\n1,2\n", 'two columns called "x" in b.csv'],
  ] as const)
    assert.throws(
      () => csvData(put(folder, "b.csv", text), {}),
      (error) => problemOf(error) === "" && (error as Error).message === message,
      text,
    );
});
