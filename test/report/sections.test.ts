import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { pageFigures } from "../../src/report/charts.js";
import { reportHtml } from "../../src/report/report.js";
import { sections } from "../../src/report/sections.js";
import { pageTables } from "../../src/report/tables.js";
import type { Run } from "../../src/run/run.js";
import { at } from "../at.js";
import { goldenRun } from "../golden-run.js";

const planned: Run = {
  ...goldenRun("resnet-h100"),
  tradeoff: [{ planner: "best", budgetBytes: 2, peakBytes: 2, hostBytes: 0, addedMs: 1, copiesSimulated: false }],
};

const names = sections.map(({ name }) => name);

const partial = (name: string): string => readFileSync(at(`../templates/partials/${name}.hbs`), "utf8");

/** What all partials name by an attribute, `data-figure` or `data-table`. */
const named = (attribute: string): string[] =>
  names.flatMap((name) =>
    [...partial(name).matchAll(new RegExp(`${attribute}="(\\w+)"`, "g"))].map(([, it = ""]) => it),
  );

/** Paths of the lists inside a value that are empty. */
const emptyLists = (value: unknown, place: string): string[] => {
  if (Array.isArray(value))
    return value.length ? value.flatMap((item, i) => emptyLists(item, `${place}[${i}]`)) : [place];
  if (value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([key, inner]) => emptyLists(inner, `${place}.${key}`));
};

test("sections: every partial is one section, and stands once in a page", () => {
  assert.deepEqual(
    [...names].sort(),
    readdirSync(at("../templates/partials"))
      .map((file) => file.replace(".hbs", ""))
      .sort(),
  );
  const html = reportHtml(planned);
  const ids = [...html.matchAll(/<section id="(\w+)">/g)].map(([, id]) => id);
  assert.deepEqual(ids, names);
});

test("sections: each opens with a sentence that says what it shows", () => {
  for (const name of names)
    assert.match(partial(name), /<section id="\w+">\n {2}(<h2>[^\n]+<\/h2>\n {2}<p>|<p class="headline )/, name);
});

test("sections: no list is empty where there is a plan", () => {
  const empty = sections.flatMap(({ name, view }) => emptyLists(view?.(planned) ?? {}, name));
  assert.deepEqual(empty, []);
});

test("sections: each chart and each table of the page stands in one of them", () => {
  assert.deepEqual(named("data-figure").sort(), Object.keys(pageFigures(planned)).sort());
  assert.deepEqual(named("data-table").sort(), Object.keys(pageTables(planned)).sort());
});

test("sections: a grid is sorted by a column that its table has", () => {
  const tables: Readonly<Record<string, { columns: readonly { name: string }[] }>> = pageTables(planned);
  for (const name of names)
    for (const [, table = "", column] of partial(name).matchAll(/data-table="(\w+)" data-sort="(\w+)"/g))
      assert.ok(
        tables[table]?.columns.some((one) => one.name === column),
        `${table} has no ${column}`,
      );
});

test("sections: what μ-TWO comes to stands beside another planner's plan, where the run holds it", () => {
  const { plan } = planned;
  assert.ok(plan);
  const beside = [{ planner: "mutwo", feasible: false, peakBytes: 2048, addedMs: 3, recomputed: 11, swapped: 22 }];
  const html = reportHtml({ ...planned, plan: { ...plan, planner: "best", beside } });
  assert.match(
    html,
    /<td class="name">mutwo<\/td><td>no<\/td><td>2\.00 KiB<\/td><td>3\.00 ms<\/td><td>11<\/td><td>22<\/td>/,
  );
  assert.match(html, /<td class="name">best<\/td><td>yes<\/td>/);
  assert.doesNotMatch(reportHtml({ ...planned, plan: { ...plan, beside: [] } }), /<th>swapped<\/th>/);
});
