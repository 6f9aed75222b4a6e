import assert from "node:assert/strict";
import { test } from "node:test";
import { differenceTables } from "../../src/report/difference-tables.js";
import { differencesOf } from "../../src/run/differences.js";
import { goldenRun } from "../golden-run.js";

const base = goldenRun("resnet-h100");

const twice = { ...base, id: "twice", before: { ...base.before, arenaBytes: 2 * base.before.arenaBytes } };

test("differenceTables(…): runs, figures with the change in percent, so many nodes; nothing where nothing differs", () => {
  const tables = differenceTables(differencesOf([base, twice]), 3);
  assert.deepEqual(
    tables.map(({ title }) => title.replace(/\d+\)$/, "N)")),
    ["runs", "figures", "nodes, largest difference in time first (3 of N)"],
  );
  const figures = tables[1]!;
  assert.match(figures.rows.find(([name]) => name === "peak (arena)")?.[2] ?? "", /\(\+100\.0 %\)$/);
  assert.match(figures.rows.find(([name]) => name === "step")?.[2] ?? "", /\(0\.0 %\)$/);
  assert.equal(tables[2]?.rows.length, 3);
  for (const { head, rows } of tables) for (const row of rows) assert.equal(row.length, head.length);
});

test("differenceTables(…) of three runs say which is against the base", () => {
  const titles = differenceTables(differencesOf([base, twice, base]), 1).map(({ title }) => title);
  assert.ok(
    titles.some((title) => title.includes("run 3 against base")),
    titles.join("; "),
  );
});
