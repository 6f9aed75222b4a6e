import assert from "node:assert/strict";
import { test } from "node:test";
import { bundle, isShown, shownMark } from "../../src/notebook/mime.js";
import * as charts from "../../src/report/charts.js";
import { nodeTable } from "../../src/report/tables.js";
import { goldenRun } from "../golden-run.js";

const run = goldenRun("resnet-h100");

const kindsOf = (value: unknown): string[] => Object.keys(bundle(value)).sort();

test("bundle(value) knows tables, series, figures, runs and plans; the rest is text", () => {
  const table = nodeTable(run);
  assert.deepEqual(kindsOf(table), ["text/html", "text/plain"]);
  assert.deepEqual(kindsOf(table.op), ["text/html", "text/plain"]);
  assert.ok(kindsOf(charts.timeByOp(run)).includes("image/svg+xml"));
  assert.deepEqual(kindsOf(run), ["text/html", "text/plain"]);
  assert.deepEqual(kindsOf(run.plan), ["text/html", "text/plain"]);
  for (const value of [1, "a", [1, 2], { a: 1 }, () => 1, new Map()]) assert.deepEqual(kindsOf(value), ["text/plain"]);
});

test("bundle(table) shows limited rows and columns, and says how many there are", () => {
  const { "text/html": html, "text/plain": text } = bundle(nodeTable(run)) as Record<string, string>;
  assert.equal(html?.match(/<tr>/g)?.length, 21);
  assert.match(html ?? "", /152 rows × \d+ columns, the first 20 shown; not shown: /);
  assert.match(text ?? "", /^ +rank +node_name /);
});

test("bundle(promise) says what to write", () => {
  assert.match(String(bundle(new Promise(() => {}))["text/plain"]), /\(write await before it\)$/);
});

test("isShown(value): what stands below its cell already is not its last expression too", () => {
  assert.deepEqual([{ [shownMark]: true }, {}, null, undefined, 1, [1]].map(isShown), [
    true,
    false,
    false,
    false,
    false,
    false,
  ]);
  assert.equal(shownMark, Symbol.for("mutwo.shown"));
});
