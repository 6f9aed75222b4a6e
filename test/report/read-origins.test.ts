import assert from "node:assert/strict";
import { test } from "node:test";
import { originOf } from "../../src/graph/origin-of.js";
import { originsOfRows } from "../../src/report/read-origins.js";

const row = (node_name: string, phase: string, module: string, source = "") => ({ node_name, phase, module, source });

test("originsOfRows(rows) is where nodes come from, by the columns of their table", () => {
  const origins = originsOfRows([
    row("a", "forward", "blocks.0.attn", "net/model.py:12"),
    row("b", "forward", "(model)"),
    row("loss/Sub", "loss", "(loss)"),
    row("a.grad/Mul", "backward", "blocks.0.attn"),
    row("b.grad/Mul", "backward", "blocks"),
    row("update/Sub", "update", "(update)"),
  ]);
  assert.ok(origins);
  assert.equal(origins.basis, "tables");
  assert.deepEqual(originOf(origins, "a@recompute"), {
    module: "blocks.0.attn",
    source: { file: "net/model.py", line: 12 },
  });
  assert.equal(originOf(origins, "b")?.module, "");
  assert.deepEqual(origins.fused, [["b.grad/Mul", "blocks"]]);
});

test("originsOfRows is undefined of tables without modules", () => {
  assert.equal(originsOfRows([{ node_name: "a", phase: "forward" }]), undefined);
  assert.equal(originsOfRows([row("a", "forward", "(no module)")]), undefined);
});
