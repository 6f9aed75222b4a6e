import assert from "node:assert/strict";
import { test } from "node:test";
import { reportHtml } from "../../src/report/report.js";
import { goldenRun } from "../golden-run.js";

const run = goldenRun("mlp-cpu");

test("reportHtml(run) leaves out the plan of a run that has none", () => {
  const html = reportHtml({ ...run, plan: null, after: null, equality: null, paired: null });
  assert.doesNotMatch(html, /<section id="planner">|<th>planned \(/);
  assert.match(html, /<p class="headline good">The step needs /);
  const planned = reportHtml(run);
  assert.match(planned, /<section id="planner">/);
  assert.match(planned, /<th>planned \(recomputeAll\)<\/th>/);
});

test("reportHtml(run) shows every warning and what differs", () => {
  const warnings = [{ about: "planned" as const, text: "the planned step's loss is not finite" }];
  const equality = run.equality && { ...run.equality, different: ["loss in step 1", "x.grad in step 2"] };
  const html = reportHtml({ ...run, warnings, equality });
  assert.match(html, /<p class="warning">Warning: the planned step&#x27;s loss is not finite<\/p>/);
  assert.match(html, /differs from the unplanned one in loss in step 1 x\.grad in step 2 \(\d+ tensors compared\)/);
  assert.doesNotMatch(reportHtml({ ...run, warnings: [] }), /class="warning"/);
});

test("reportHtml(run) says what stands in the way of a budget", () => {
  const { plan } = run;
  assert.ok(plan);
  const obstacle = {
    node: "update/Mul",
    holders: [
      { name: "w<0>", bytes: 2048 },
      { name: "v", bytes: 1024 },
    ],
  };
  const html = reportHtml({ ...run, after: null, plan: { ...plan, feasible: false, budgetBytes: 1024, obstacle } });
  assert.match(html, /<p class="headline bad">infeasible budget: 1\.00 KiB; the least reachable peak is /);
  assert.match(html, /node update\/Mul, where these are live:\s+w&lt;0&gt; \(2\.00 KiB\), v \(1\.00 KiB\)\./);
});

test("reportHtml(run) keeps names from ending its scripts", () => {
  const [first, ...nodes] = run.before.nodes;
  assert.ok(first);
  const before = { ...run.before, nodes: [{ ...first, name: "</script><b>" }, ...nodes] };
  const html = reportHtml({ ...run, before });
  const data = /<script type="application\/json" id="tables">(.*?)<\/script>/s.exec(html)?.[1] ?? "";
  assert.equal(JSON.parse(data).nodes.rows[0][1], "</script><b>");
});
