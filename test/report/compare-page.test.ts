import assert from "node:assert/strict";
import { test } from "node:test";
import { compareHtml } from "../../src/report/compare-page.js";
import { decompressed } from "../../src/report/page-data.js";
import { differencesOf } from "../../src/run/differences.js";
import { goldenRun } from "../golden-run.js";

const run = goldenRun("resnet-h100");

const hostile = "</script><img src=x onerror=alert(1)>";

test("compareHtml(differences): figures in the page, all rows in its tables, hostile names escaped", () => {
  const [first, ...rest] = run.before.activations;
  const other = {
    ...run,
    id: hostile,
    before: { ...run.before, arenaBytes: 1, activations: [{ ...first!, memoryBytes: 1 }, ...rest] },
  };
  const html = compareHtml(differencesOf([run, other, run]));
  assert.ok(!html.includes(hostile));
  assert.match(html, /3 runs beside each other/);
  assert.match(html, /<th scope="row">peak \(arena\)<\/th><td>[^<]+<\/td><td>1 B \(-100\.0 %\)<\/td>/);
  const data = /<script type="text\/plain" id="data">([^<]*)</.exec(html)?.[1] ?? "";
  const { value } = JSON.parse(decompressed(data));
  assert.equal(value.tables.nodes.count, 2 * run.before.nodes.length);
  assert.equal(value.tables.activations.count, 1);
  assert.ok(!html.includes('data-table="holders"'), "nothing differs there");
});
