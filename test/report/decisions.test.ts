import assert from "node:assert/strict";
import { test } from "node:test";
import { decisionGroups, decisionTable } from "../../src/report/decisions.js";
import { goldenRun } from "../golden-run.js";

const run = goldenRun("gpt2-h100");

test("decisionGroups(run) has every decision in one group, those that save most first, each with a reason", () => {
  const groups = decisionGroups(run);
  assert.equal(
    groups.reduce((sum, { count }) => sum + count, 0),
    run.plan?.decisions.length,
  );
  assert.ok(groups.length > 1 && groups.length < 20);
  assert.match(groups[0]?.name ?? "", /^swap in m\.transformer/);
  for (const { reason, first } of groups) {
    const decision = run.plan?.decisions.find(({ activation }) => activation === first);
    assert.equal(decision?.why, reason);
  }
});

test("decisionTable(run) names the groups as decisionGroups does", () => {
  const { columns } = decisionTable(run);
  assert.equal(columns[0]?.name, "group");
  assert.deepEqual(new Set(columns[0]?.values), new Set(decisionGroups(run).map(({ name }) => name)));
  assert.equal(decisionTable({ ...run, plan: null }).count, 0);
});
