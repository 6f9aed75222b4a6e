import assert from "node:assert/strict";
import { test } from "node:test";
import { moduleColumns } from "../../src/report/module-columns.js";
import { moduleCsv, moduleTable, parseCsv } from "../../src/report/tables.js";
import { goldenRun } from "../golden-run.js";

test("moduleColumns name their unit, each once", () => {
  const names: string[] = moduleColumns.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  for (const { name, kind } of moduleColumns) {
    if (kind === "ms") assert.match(name, /_ms$/);
    if (kind === "bytes") assert.match(name, /_bytes$/);
    if (kind === "percent") assert.match(name, /_percent$/);
  }
});

test("modules.csv has a row a module, the whole step first, and own columns add up to it", () => {
  const run = goldenRun("resnet-h100");
  const rows = parseCsv(moduleColumns, moduleCsv(run));
  const sum = (column: string): number => rows.reduce((total, row) => total + Number(row[column]), 0);
  const [whole] = rows;
  assert.deepEqual([whole?.module, whole?.time_percent, whole?.peak_percent], ["(model)", 100, 100]);
  assert.equal(whole?.peak_bytes, run.before.timeline.peakBytes);
  assert.equal(sum("own_peak_bytes"), whole?.peak_bytes);
  assert.ok(Math.abs(sum("own_time_ms") - Number(whole?.time_ms)) < 1e-9);
  const byCategory = ["parameter", "gradient", "optimizer_state", "activation", "temporary", "other"];
  for (const row of rows)
    assert.equal(
      byCategory.reduce((total, name) => total + Number(row[`${name}_bytes`]), 0),
      row.peak_bytes,
    );
});

test("moduleTable(run) is the same as a DataFrame; times that were estimated say so in their columns' names", () => {
  const run = goldenRun("mlp-cpu");
  const frame = moduleTable(run);
  assert.deepEqual(
    frame.columns,
    moduleColumns.map(({ name }) => name),
  );
  assert.equal(frame.column("module").values[1], "mod");
  const estimated = { ...run, before: { ...run.before, estimated: true as const } };
  const { columns } = moduleTable(estimated, "planned");
  assert.ok(columns.includes("estimated_time_percent") && columns.includes("peak_percent"));
});

test("a table shows hostile names as they are, in one cell", () => {
  const run = goldenRun("mlp-cpu");
  const path = '<img src=x onerror="alert(1)">,"\uFFFD';
  const origins = {
    basis: "names" as const,
    modules: [{ path }],
    sources: [],
    nodes: [["/mod/mod.0/Gemm", 0] as const],
  };
  const rows = parseCsv(moduleColumns, moduleCsv({ ...run, graph: { ...run.graph, origins } }));
  assert.ok(rows.some(({ module }) => module === path));
});
