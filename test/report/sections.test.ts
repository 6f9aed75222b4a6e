import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { captions } from "../../src/report/captions.js";
import { pageFigures } from "../../src/report/charts.js";
import { decisionTable } from "../../src/report/decisions.js";
import { reportHtml } from "../../src/report/report.js";
import { sections } from "../../src/report/sections.js";
import { pageTables } from "../../src/report/tables.js";
import type { Run } from "../../src/run/run.js";
import { at } from "../at.js";
import { goldenRun } from "../golden-run.js";

const planned: Run = {
  ...goldenRun("resnet-h100"),
  tradeoff: [{ planner: "best", budgetBytes: 2, peakBytes: 2, hostBytes: 0, addedMs: 1, copiesSimulated: false }],
  together: {
    trials: [
      {
        name: "m0",
        path: "a.onnx",
        sha256: "",
        loss: "ce",
        optimizer: "sgd",
        dims: {},
        seed: 0,
        varied: { seed: "0" },
      },
    ],
    alone: { stepMs: 2, peakBytes: 1, measured: 1 },
    arranged: [
      {
        arrangement: "side-by-side",
        subArrays: [["m0"]],
        lanes: 1,
        peakBytes: 1,
        plannedPeakBytes: null,
        unplannedMs: 1,
        addedMs: null,
        predictedMs: null,
        measuredMs: 1,
      },
    ],
    executed: "side-by-side",
    fits: { limitBytes: 3, unplanned: 1, planned: 2 },
    sameAsAlone: { models: ["m0"], compared: 1, bitwise: true, worstRelativeError: 0, worst: null },
    notes: ["m0 begins another sub-array"],
  },
};

const names = sections.map(({ name }) => name);

const partial = (name: string): string => readFileSync(at(`../templates/partials/${name}.hbs`), "utf8");

/** What all partials name in a pattern's group. */
const named = (pattern: RegExp): string[] =>
  names.flatMap((name) => [...partial(name).matchAll(pattern)].map(([, it = ""]) => it));

/** All tables of the page. */
const tables = { ...pageTables(planned), decisions: decisionTable(planned) };

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
  const links = [...html.matchAll(/<li><a href="#(\w+)">/g)].map(([, id]) => id);
  assert.deepEqual(links, names);
});

test("sections: each opens with a sentence that says what it shows", () => {
  for (const name of names)
    assert.match(partial(name), /<section id="\w+">\n {2}<h2>[^\n]+<\/h2>\n {2}<p>[^\n]+\.<\/p>\n/, name);
});

test("sections: no list is empty where there is a plan", () => {
  const empty = sections.flatMap(({ name, view }) => emptyLists(view?.(planned) ?? {}, name));
  assert.deepEqual(empty, []);
});

test("sections: each chart says in words what it shows", () => {
  const gpt2 = { ...goldenRun("gpt2-h100"), tradeoff: planned.tradeoff, together: planned.together };
  const figures = pageFigures(gpt2);
  assert.deepEqual(Object.keys(captions).sort(), Object.keys(figures).sort());
  for (const [name, caption] of Object.entries(captions)) {
    assert.ok(figures[name], name);
    assert.match(caption(gpt2), /\d.*\.$/, name);
  }
});

test("sections: each chart and each table of the page stands in one of them", () => {
  assert.deepEqual(named(/\{\{chart "(\w+)"\}\}/g).sort(), Object.keys(pageFigures(planned)).sort());
  assert.deepEqual(named(/data-table="(\w+)"/g).sort(), Object.keys(tables).sort());
});

test("sections: a grid is sorted by a column that its table has", () => {
  const known: Readonly<Record<string, { columns: readonly { name: string }[] }>> = tables;
  const sorted = names.flatMap((name) => [...partial(name).matchAll(/data-table="(\w+)"[^>]* data-sort="(\w+)"/g)]);
  assert.equal(sorted.length, Object.keys(tables).length);
  for (const [, table = "", column] of sorted)
    assert.ok(
      known[table]?.columns.some((one) => one.name === column),
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
    /<th scope="row" class="name">mutwo<\/th><td>no<\/td><td>2\.00 KiB<\/td><td>3\.00 ms<\/td><td>11<\/td><td>22<\/td>/,
  );
  assert.match(html, /<th scope="row" class="name">best<\/th><td>yes<\/td>/);
  assert.doesNotMatch(reportHtml({ ...planned, plan: { ...plan, beside: [] } }), /<th scope="col">swapped<\/th>/);
});
