import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { reportHtml, reportHtmlBeside } from "../../src/report/report.js";
import { goldenRun } from "../golden-run.js";
import { shownData } from "../page-data.js";

const run = goldenRun("mlp-cpu");

test("reportHtml(run) leaves out the plan of a run that has none", () => {
  const html = reportHtml({ ...run, plan: null, after: null, equality: null, paired: null });
  assert.doesNotMatch(html, /<section id="planner">|href="#planner"|>planned \(/);
  assert.match(html, /<p class="headline good">The step needs /);
  const planned = reportHtml(run);
  assert.match(planned, /<section id="planner">/);
  assert.match(planned, /<th scope="col">planned \(recomputeAll\)<\/th>/);
});

test("reportHtml(run) shows every warning and what differs", () => {
  const warnings = [{ about: "planned" as const, text: "the planned step's loss is not finite" }];
  const equality = run.equality && { ...run.equality, different: ["loss in step 1", "x.grad in step 2"] };
  const html = reportHtml({ ...run, warnings, equality });
  assert.match(html, /<li class="warning"><b>warning<\/b> the planned step&#x27;s loss is not finite<\/li>/);
  assert.match(html, /differs from the unplanned one in loss in step 1 x\.grad in step 2 \(\d+ tensors compared\)/);
  const bare = reportHtml({ ...run, warnings: [], model: { ...run.model, notes: [] } });
  assert.doesNotMatch(bare, /<h3>Warnings<\/h3>|<h3>Notes on the model<\/h3>/);
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
  assert.match(html, /node <a class="name" href="#node-update%2FMul" title="update\/Mul">update\/Mul<\/a>, where/);
  assert.match(html, /where these are live:\s+w&lt;0&gt; \(2\.00 KiB\), v \(1\.00 KiB\)\./);
});

test("reportHtml(run) keeps names from ending its scripts and its elements, and gives them whole to its tables", () => {
  const names = ["</script><b>", `'"&<!--`, "a\nb", "x".repeat(5000), "__proto__"];
  const nodes = run.before.nodes.map((row, rank) => ({ ...row, name: names[rank] ?? row.name }));
  const model = { ...run.model, file: "</title><script>alert(1)</script>" };
  const html = reportHtml({ ...run, model, before: { ...run.before, nodes } });
  const { tables } = shownData(html);
  const column = tables.nodes?.columns.find(({ name }) => name === "node_name");
  assert.deepEqual(column?.values.slice(0, names.length), names);
  // theme and page; the data and the library are no scripts yet
  assert.equal(html.match(/<script>/g)?.length, 2);
  assert.equal(html.match(/<script/g)?.length, 4);
  assert.doesNotMatch(html, /<b>['"]?</);
});

test("reportHtml(run) forbids all that is not inside, and allows its scripts by their hashes", () => {
  const html = reportHtml(run);
  const [, policy = ""] = /Content-Security-Policy" content="([^"]*)"/.exec(html) ?? [];
  const text = policy.replaceAll("&#x27;", "'").replaceAll("&#x3D;", "=");
  assert.match(
    text,
    /^default-src 'none'; script-src( 'sha256-[\w+/]+=*'){3}; style-src 'unsafe-inline'; img-src data: blob:; connect-src 'none'/,
  );
  for (const [, script = ""] of html.matchAll(/<script>(.*?)<\/script>/gs))
    assert.ok(text.includes(createHash("sha256").update(script).digest("base64")), script.slice(0, 60));
});

test("reportHtml(run, files) links to the files that are beside it", () => {
  assert.match(reportHtml(run), /<a href="planned-nodes\.csv">planned-nodes\.csv<\/a>/);
  const html = reportHtml(run, ["run.json", "report.pdf"]);
  assert.match(html, /<td><a href="run\.json">run\.json<\/a>, <a href="report\.pdf">report\.pdf<\/a><\/td>/);
});

test("reportHtml(run) shows no iterations of a run that executed none", () => {
  const html = reportHtml(goldenRun("gpt2-h100"));
  assert.match(html, /<td>nothing here: times are those of the recording<\/td>/);
  assert.doesNotMatch(html, /iterations/);
  assert.match(reportHtml(run), /\d+ iterations of each kind after \d+ warm-ups/);
});

test("reportHtmlBeside(run, files) is the same page", async () => {
  const files = ["run.json", "report.pdf"];
  assert.equal(await reportHtmlBeside(run, files), reportHtml(run, files));
});
