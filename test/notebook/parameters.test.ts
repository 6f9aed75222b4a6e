import assert from "node:assert/strict";
import { test } from "node:test";
import type { Notebook } from "../../src/notebook/ipynb.js";
import { injectParameters } from "../../src/notebook/parameters.js";

const notebook = (source: string, minor = 5, tag = "parameters"): Notebook => ({
  cells: [
    { cell_type: "markdown", source: "# title" },
    { cell_type: "code", source, metadata: { tags: [tag] } },
    { cell_type: "code", source: "last()" },
  ],
  metadata: {},
  nbformat: 4,
  nbformat_minor: minor,
});

const injected = (source: string, parameters: Readonly<Record<string, string>>): unknown => {
  const given = notebook(source);
  injectParameters(given, parameters);
  return given.cells[2]?.source;
};

test("injectParameters(notebook, values) puts literals of the declared types after the cell that declares them", () => {
  assert.equal(injected("let batch = 8;", { batch: "16" }), "batch = 16;");
  assert.equal(injected("let low = -1, high: number;", { low: "-2e1", high: "7" }), "low = -20;\nhigh = 7;");
  assert.equal(injected('let name = "a";', { name: "16" }), 'name = "16";');
  assert.equal(injected("let flag = false;", { flag: "true" }), "flag = true;");
});

test("injectParameters(notebook, values) goes by the text where the declaration says nothing", () => {
  assert.equal(injected("let free: unknown;", { free: "7" }), "free = 7;");
  assert.equal(injected("let free: unknown;", { free: "seven" }), 'free = "seven";');
});

test("injectParameters(notebook, values) knows every declared type that the cell itself says", () => {
  assert.equal(injected("let sizes = [1, 2];", { sizes: "[4,8]" }), "sizes = [4,8];");
  assert.equal(injected("let dims: Record<string, number> = {};", { dims: '{"batch":4}' }), 'dims = {"batch":4};');
  assert.equal(injected("let budget: string | number;", { budget: "3" }), "budget = 3;");
  assert.equal(injected('let kind: "adam" | "sgd" = "sgd";', { kind: "adam" }), 'kind = "adam";');
  assert.equal(injected("let limit: number | null = 3;", { limit: "null" }), "limit = null;");
  assert.equal(injected("let name = 'x';", { name: "null" }), 'name = "null";');
  assert.equal(injected("let name = ``;", { name: "[not JSON" }), 'name = "[not JSON";');
  assert.equal(injected("let other = somewhere();", { other: "7" }), "other = 7;");
});

test("injectParameters(notebook, values) writes U+2028 and U+2029, line ends of older TypeScript, as escapes", () => {
  const text = 'a\u2028b\u2029c\n"';
  const source = injected('let name = "";', { name: text }) as string;
  assert.equal(source, 'name = "a\\u2028b\\u2029c\\n\\"";');
  const inList = injected("let names = [''];", { names: JSON.stringify([text]) }) as string;
  assert.doesNotMatch(source + inList, /[\u2028\u2029]/);
  assert.deepEqual(JSON.parse(inList.slice("names = ".length, -1)), [text]);
});

test("injectParameters(notebook, values) replaces the cell that it put there before", () => {
  const given = notebook("let a = 1;");
  injectParameters(given, { a: "2" });
  injectParameters(given, { a: "3" });
  assert.deepEqual(
    given.cells.map(({ source }) => source),
    ["# title", "let a = 1;", "a = 3;", "last()"],
  );
  injectParameters(given, {});
  assert.equal(given.cells.length, 4);
});

test("injectParameters(notebook, values) gives the cell an id only from nbformat 4.5 on", () => {
  const idOf = (minor: number): unknown => {
    const given = notebook("let a = 1;", minor);
    injectParameters(given, { a: "2" });
    return JSON.parse(JSON.stringify(given.cells[2])).id;
  };
  assert.deepEqual([idOf(5), idOf(4)], ["injected-parameters", undefined]);
});

test("injectParameters(notebook, values) refuses what the cell does not declare, constants, and wrong types", () => {
  const refuses = (source: string, parameters: Record<string, string>, message: RegExp, tag?: string): void =>
    assert.throws(() => injectParameters(notebook(source, 5, tag), parameters), message);
  refuses("let a = 1, b = 2;", { colour: "red" }, /^Error: unknown parameter \(there are a, b\): colour$/);
  refuses("const a = 1;", { a: "2" }, /^Error: parameter is declared const: a$/);
  refuses("let a = 1;", { a: "many" }, /^Error: parameter is not a number: a=many$/);
  refuses("let a = true;", { a: "1" }, /^Error: parameter is not a boolean: a=1$/);
  refuses("let a = [1];", { a: "3" }, /^Error: parameter is not a number\[\]: a=3$/);
  refuses("let a = [1];", { a: '["b"]' }, /^Error: parameter is not a number\[\]: a=\["b"\]$/);
  refuses('let a: "b" | "c" = "b";', { a: "d" }, /^Error: parameter is not a "b" \| "c": a=d$/);
  refuses("let a: number | undefined;", { a: "b" }, /^Error: parameter is not a number \| undefined: a=b$/);
  refuses("let a = 1;", { a: "2" }, /^Error: no cell is tagged parameters: a$/, "other");
});
