import assert from "node:assert/strict";
import { test } from "node:test";
import { danfo } from "../../src/report/danfo.js";
import type { DataFrame, Groups, Series } from "../../src/report/data-frame.js";

// what the library declares of danfo, whose own declarations it does not use
const methods = {
  frame: [
    ...["T", "addColumn", "append", "apply", "applyMap", "asType", "at", "column", "copy", "count", "describe", "div"],
    ...["drop", "dropNa", "fillNa", "groupby", "head", "iat", "iloc", "isNa", "loc", "max", "mean", "median", "min"],
    ...["add", "sub", "mul", "nUnique", "print", "query", "rename", "replace", "resetIndex", "round", "sample"],
    ...["selectDtypes", "setIndex", "sortIndex", "sortValues", "std", "sum", "tail", "toCSV", "toJSON", "var"],
  ] satisfies (keyof DataFrame)[],
  series: [
    ...["abs", "add", "and", "apply", "argMax", "argMin", "copy", "count", "cumSum", "div", "eq", "ge", "gt", "head"],
    ...[
      "iloc",
      "isNa",
      "le",
      "loc",
      "lt",
      "map",
      "max",
      "mean",
      "median",
      "min",
      "mul",
      "nUnique",
      "ne",
      "or",
      "print",
    ],
    ...["round", "std", "sub", "sum", "tail", "unique", "valueCounts", "var"],
  ] satisfies string[] as (keyof Series)[],
  groups: [
    ...["agg", "apply", "col", "count", "first", "getGroup", "last", "max", "mean", "min", "size", "std", "sum", "var"],
  ] satisfies string[] as (keyof Groups)[],
};

const cells = { a: [1, 2, 3], b: ["x", "y", "x"] };

test("what the types say of DataFrame, Series and groups is there", () => {
  const { DataFrame: Frame } = danfo();
  const frame = new Frame(cells);
  const parts: [string, object, readonly string[]][] = [
    ["DataFrame", frame, methods.frame as string[]],
    ["Series", frame.column("a"), methods.series],
    ["groups", frame.groupby(["b"]), methods.groups],
  ];
  for (const [name, value, members] of parts)
    assert.deepEqual([name, members.filter((member) => !(member in value))], [name, []]);
});

test("tables of numbers and texts answer as their types say", async () => {
  const { DataFrame: Frame } = danfo();
  const frame = new Frame(cells);
  const a = frame.column("a");
  assert.deepEqual([a.sum(), a.mean(), a.count(), a.argMax()], [6, 2, 3, 2]);
  assert.deepEqual(a.gt(1).values, [false, true, true]);
  assert.deepEqual(frame.query(frame.column("b").eq("x")).values, [
    [1, "x"],
    [3, "x"],
  ]);
  assert.deepEqual(frame.groupby(["b"]).col(["a"]).mean().values, [
    ["x", 2],
    ["y", 2],
  ]);
  assert.deepEqual(frame.describe().index, ["count", "mean", "std", "min", "median", "max", "variance"]);
  assert.deepEqual(frame.loc({ rows: [1], columns: ["b"] }).values, [["y"]]);
  assert.deepEqual((await frame.sample(2, { seed: 1 })).shape, [2, 2]);
  assert.equal(frame.sortValues("a", { ascending: false }).at(2, "b"), "x");
  assert.equal(frame.drop({ columns: ["a"] }).toCSV(), "b\nx\ny\nx\n");
});
