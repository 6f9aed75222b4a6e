import assert from "node:assert/strict";
import { test } from "node:test";
import {
  activationColumns,
  activationCsv,
  activationTable,
  nodeColumns,
  nodeCsv,
  nodeTable,
  parseCsv,
} from "../../src/report/tables.js";
import type { NodeRow } from "../../src/run/node-rows.js";
import type { Run } from "../../src/run/run.js";

/** A run with invented rows, for tests only. */
function inventedRun(nodes: readonly string[]): Run {
  const time = { samplesMs: [1, 2], medianMs: 1.5, meanMs: 1.5, spreadMs: 0.25 };
  const rows = nodes.map(
    (name, rank): NodeRow => ({
      rank,
      name,
      op: "Relu",
      phase: "forward",
      time,
      flops: 10,
      inputBytes: 40,
      outputBytes: 40,
      liveBytes: 80,
      activeBytes: 80,
      workspaceBytes: null,
      lastForwardUses: ["a", "b"],
      firstBackwardUses: [],
    }),
  );
  const graph = {
    nodes: nodes.map((name) => ({ name, inputs: [], outputs: [], attributes: {} })),
    tensors: [],
    outputs: [],
    state: [],
  };
  return { graph, before: { nodes: rows, activations: [] }, plan: null } as unknown as Run;
}

test("nodeCsv(run) and parseCsv are inverse, whatever the names hold", () => {
  const names = ['comma, and "quote"', "line\nbreak", "plain"];
  const parsed = parseCsv(nodeColumns, nodeCsv(inventedRun(names)));
  assert.deepEqual(
    parsed.map((row) => row.node_name),
    names,
  );
  assert.deepEqual(parsed[1], { ...parsed[1], rank: 1, median_run_time_ms: 1.5, workspace_bytes: null, flops: 10 });
});

test("parseCsv names the column that is missing", () => {
  assert.throws(() => parseCsv(nodeColumns, "rank,op\n0,Relu\n"), /column missing: node_name/);
  assert.throws(
    () => parseCsv(nodeColumns, nodeCsv(inventedRun(["a"])).replace("1.5", "fast")),
    /row 1 has no number in median_run_time_ms: fast/,
  );
});

test("column names are declared once each and carry their unit", () => {
  for (const columns of [nodeColumns, activationColumns]) {
    const names: string[] = columns.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    for (const { name, kind } of columns) {
      if (kind === "ms") assert.match(name, /_ms$/);
      if (kind === "bytes") assert.match(name, /_bytes$/);
    }
  }
});

test("nodeTable(run) is a danfo DataFrame with a row a node; tables without rows work", () => {
  const frame = nodeTable(inventedRun(["a", "b", "c"]));
  assert.deepEqual(frame.shape, [3, nodeColumns.length]);
  assert.deepEqual(frame.column("node_name").values, ["a", "b", "c"]);
  assert.deepEqual(
    activationTable(inventedRun([])).columns,
    activationColumns.map(({ name }) => name),
  );
  assert.equal(activationCsv(inventedRun([])).trim().split("\n").length, 1);
});
