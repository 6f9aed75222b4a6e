import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import {
  type Cell,
  checkOutput,
  collect,
  type Output,
  readNotebook,
  sourceOf,
  writeNotebook,
} from "../../src/notebook/ipynb.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-ipynb-"));

const file = path.join(folder, "a.ipynb");

test("writeNotebook(file, notebook) and readNotebook(file) are inverse but for text, which is kept in lines", () => {
  const cell: Cell = { cell_type: "code", source: ["a\n", "b"], outputs: [{ output_type: "stream", text: "1\n2\n3" }] };
  writeNotebook(file, { cells: [cell], metadata: {}, nbformat: 4, nbformat_minor: 5 });
  const [read] = readNotebook(file).cells;
  assert.ok(read);
  assert.equal(sourceOf(read), "a\nb");
  assert.deepEqual(read.outputs?.[0]?.text, ["1\n", "2\n", "3"]);
  assert.deepEqual(readdirSync(folder), ["a.ipynb"]);
  assert.match(readFileSync(file, "utf8"), /\n$/);
});

test("readNotebook(file) refuses what is no notebook of format 4", () => {
  const refuses = (text: string, message: RegExp): void => {
    writeFileSync(file, text);
    assert.throws(() => readNotebook(file), message);
  };
  refuses("# markdown", /^Error: not a notebook: .*a\.ipynb$/);
  refuses('{"nbformat": 3, "worksheets": []}', /^Error: not a notebook of format 4: /);
  refuses('{"nbformat": 4, "cells": [{}]}', /^Error: not a notebook: cells/);
  assert.throws(() => readNotebook(path.join(folder, "none")), /^Error: cannot read notebook: .* \(ENOENT\)$/);
});

test("checkOutput(file) says why a notebook could not be written, and leaves nothing behind", () => {
  const before = readdirSync(folder);
  checkOutput(path.join(folder, "new.ipynb"));
  assert.throws(() => checkOutput(folder), /^Error: cannot write notebook \(EISDIR\): /);
  assert.throws(() => checkOutput(path.join(folder, "none/a.ipynb")), /^Error: cannot write notebook \(ENOENT\): /);
  assert.throws(() => checkOutput(path.join(file, "a.ipynb")), /^Error: cannot write notebook \(ENOTDIR\): /);
  assert.deepEqual(readdirSync(folder), before);
});

/** The outputs that messages leave in a cell. */
function collected(...messages: readonly (readonly [type: string, content: object])[]): Output[] {
  const cell: Cell = { cell_type: "code", source: "" };
  const displays = new Map<string, Output[]>();
  for (const [msg_type, content] of messages)
    collect(cell, displays, { header: { msg_type }, parent_header: {}, content: { ...content } });
  return cell.outputs ?? [];
}

test("collect(cell, message) joins what is printed to one stream, and keeps two streams apart", () => {
  const print = (name: string, text: string) => ["stream", { name, text }] as const;
  assert.deepEqual(
    collected(print("stdout", "a"), print("stdout", "b\n"), print("stderr", "c")).map(({ name, text }) => [name, text]),
    [
      ["stdout", "ab\n"],
      ["stderr", "c"],
    ],
  );
});

test("collect(cell, message) updates a display in place by its id", () => {
  const display = (type: string, id: string, text: string) =>
    [type, { data: { "text/plain": text }, transient: { display_id: id } }] as const;
  const outputs = collected(
    display("display_data", "x", "one"),
    display("display_data", "y", "two"),
    display("update_display_data", "x", "three"),
  );
  assert.deepEqual(
    outputs.map(({ data }) => data?.["text/plain"]),
    ["three", "two"],
  );
});

test("collect(cell, message) keeps an error with its traceback", () => {
  const [error] = collected(["error", { ename: "TypeError", evalue: "no", traceback: ["at 1"] }]);
  assert.deepEqual(error, { output_type: "error", ename: "TypeError", evalue: "no", traceback: ["at 1"] });
});
