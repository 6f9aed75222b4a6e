import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { cut, danfo, frameText } from "../../src/report/danfo.js";
import { activationTable, nodeTable } from "../../src/report/tables.js";
import { goldenRun } from "../golden-run.js";

const run = goldenRun("resnet-h100");
const nodes = nodeTable(run);

test("a table prints what matters, within the terminal's width, and says what is left out", () => {
  const lines = frameText(nodes as never, 110).split("\n");
  assert.match(lines[0] ?? "", /^ +rank +node_name +op +phase .*median_run_time_ms/);
  assert.ok(
    lines.every((line) => line.length <= 110),
    lines.find((line) => line.length > 110),
  );
  assert.equal(lines.at(-2), `152 rows × ${nodes.columns.length} columns, the first 20 rows`);
  assert.match(lines.at(-1) ?? "", /^not shown: /);
  assert.equal(inspect(nodes.head(1)), nodes.head(1).toString());
  assert.match(frameText(nodes as never, 10), /rank/);
});

test("tables keep the types of their columns, whatever the first values are", () => {
  const types = Object.fromEntries(nodes.columns.map((name, i) => [name, nodes.dtypes[i]]));
  const { rank, op, median_run_time_ms, spread_ms, peak_mem_bytes, in_peak_interval, step_outputs } = types;
  assert.deepEqual(
    [rank, op, median_run_time_ms, spread_ms, peak_mem_bytes, in_peak_interval, step_outputs],
    ["int32", "string", "float32", "float32", "int32", "boolean", "string"],
  );
  assert.deepEqual(nodes.head(2).dtypes, nodes.dtypes);
});

test("groupby, query and sortValues do what danfo's documentation says", () => {
  const times = nodes.groupby(["phase"]).col(["median_run_time_ms"]).sum();
  assert.deepEqual(times.columns, ["phase", "median_run_time_ms_sum"]);
  const sum = run.before.nodes.reduce((ms, { time }) => ms + time.medianMs, 0);
  assert.ok(Math.abs((times.median_run_time_ms_sum.sum() as number) - sum) < 1e-9);
  const convolutions = nodes.query(nodes.op.eq("Conv").and(nodes.phase.eq("forward")));
  assert.equal(
    convolutions.shape[0],
    run.before.nodes.filter(({ op, phase }) => op === "Conv" && phase === "forward").length,
  );
  const peak = nodes.query((nodes.in_peak_interval as unknown as { eq(other: boolean): never }).eq(true));
  assert.equal(peak.shape[0], nodes.in_peak_interval.values.filter(Boolean).length);
  const sorted = nodes.sortValues("median_run_time_ms", { ascending: false });
  const ms = sorted.median_run_time_ms.values as number[];
  assert.deepEqual(
    ms,
    [...ms].sort((a, z) => z - a),
  );
  // the index goes along, and frames made from it are as good
  assert.equal(nodes.at(sorted.index[0] as number, "median_run_time_ms"), ms[0]);
  assert.equal(sorted.groupby(["phase"]).count().shape[0], times.shape[0]);
  assert.throws(() => nodes.sortValues("none"), /column "none" not found/);
});

test("sortValues sets missing values last, keeps equal ones in order, and works in place", () => {
  const { DataFrame } = danfo();
  const frame = new DataFrame({ a: [3, Number.NaN, 1, 3], b: ["x", "y", "z", "w"] });
  assert.deepEqual(frame.sortValues("a").b.values, ["z", "x", "w", "y"]);
  assert.deepEqual(frame.sortValues("a", { ascending: false }).b.values, ["x", "w", "z", "y"]);
  frame.sortValues("b", { inplace: true });
  assert.deepEqual(
    [frame.b.values, frame.index],
    [
      ["w", "x", "y", "z"],
      [3, 0, 1, 2],
    ],
  );
});

test("toCSV quotes what has to be quoted, and writes files", () => {
  const dfd = danfo();
  const frame = new dfd.DataFrame({ a: ["a,b", 'q"q', "n\nn"], b: [1, Number.NaN, 3] });
  const text = 'a,b\n"a,b",1\n"q""q",\n"n\nn",3\n';
  assert.deepEqual([frame.toCSV(), dfd.toCSV(frame), frame.head(3).toCSV()], [text, text, text]);
  assert.match(String(frame.toCSV({ sep: ";", header: false } as never)), /^a,b;1\n/);
  const folder = mkdtempSync(path.join(os.tmpdir(), "mutwo-test-"));
  try {
    frame.toCSV({ filePath: path.join(folder, "t") } as never);
    assert.equal(readFileSync(path.join(folder, "t.csv"), "utf8"), text);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("activationTable(run) prints as well", () => {
  const table = activationTable(run, "planned");
  assert.match(table.toString(), /activation_name .*decision/);
  // it has a column called shape
  assert.deepEqual(table.shape, [table.values.length, table.columns.length]);
  assert.deepEqual(table.head(10).columns, table.columns);
  assert.match(String(table.column("shape").values[0]), /^float32\[/);
});

test("cut(text, width) keeps both ends", () => {
  assert.equal(cut("abcdefghij", 7), "ab…ghij");
  assert.equal(cut("a\n b", 7), "a b");
});
