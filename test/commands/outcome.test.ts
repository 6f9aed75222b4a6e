import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, type TestContext, test } from "node:test";
import { Command } from "commander";
import { checkOut, finish, outcomeOptions } from "../../src/commands/outcome.js";
import type { Run } from "../../src/run/run.js";
import { goldenRun } from "../golden-run.js";

const out = mkdtempSync(path.join(tmpdir(), "mutwo-outcome-"));

after(() => rmSync(out, { recursive: true }));

let runs = 0;

/** What finishing a run says, and the exit status that it leaves. */
async function finished(t: TestContext, run: Run, json = false) {
  const said = { stdout: "", stderr: "" };
  const mocks = (["stdout", "stderr"] as const).map((name) => {
    const write = process[name].write.bind(process[name]) as (...args: unknown[]) => boolean;
    return t.mock.method(process[name], "write", (chunk: unknown, ...rest: unknown[]) => {
      // bytes are the test runner's own
      if (typeof chunk !== "string") return write(chunk, ...rest);
      said[name] += chunk;
      return true;
    });
  });
  const before = process.exitCode;
  try {
    await finish({ ...run, id: `run ${++runs}` }, { out, pictures: false, json });
    return { ...said, status: process.exitCode, folder: path.join(out, `run ${runs}`) };
  } finally {
    process.exitCode = before;
    for (const mock of mocks) mock.mock.restore();
  }
}

const planned = goldenRun("mlp-cpu");

test("outcomeOptions(command) writes to reports, with pictures and for people, unless told otherwise", () => {
  const flags = (...words: string[]) => outcomeOptions(new Command()).parse(words, { from: "user" }).opts();
  assert.deepEqual(flags(), { out: "reports", pictures: true });
  assert.deepEqual(flags("--out", "a", "--no-pictures", "--json"), { out: "a", pictures: false, json: true });
});

test("checkOut({out}) refuses a folder that cannot be written", () => {
  checkOut({ out: path.join(out, "new"), pictures: false });
  assert.throws(() => checkOut({ out: "/dev/null/x", pictures: false }), /^Error: output folder not writable: /);
});

test("finish(run) writes its folder and ends in where the report is", async (t) => {
  const { stdout, stderr, status, folder } = await finished(t, planned);
  const report = path.join(folder, "report.html");
  assert.equal(stdout.trimEnd().split("\n").at(-1), `report: ${report}`);
  assert.ok(existsSync(report));
  assert.deepEqual([stderr, status], ["", undefined]);
});

test("finish(run, {json}) prints one object with the peaks in bytes and what is done with which activation", async (t) => {
  const { stdout, folder } = await finished(t, planned, true);
  const { plan, before, after: then } = planned;
  const by = (wanted: string) => plan?.decisions.flatMap((d) => (d.action === wanted ? [d.activation] : []));
  const { run, peakBytes, plan: said, after: executed } = JSON.parse(stdout);
  assert.deepEqual([run, peakBytes], [path.join(folder, "run.json"), before.arenaBytes]);
  assert.deepEqual([said.recompute, said.swap], [by("recompute"), by("swap")]);
  assert.ok(plan?.decisions.length);
  assert.equal(executed.measuredPeakBytes, then?.allocatedBytes);
});

test("finish(run without a plan, {json}) has null in its place", async (t) => {
  const { stdout, status } = await finished(t, { ...planned, plan: null, after: null, equality: null }, true);
  const { plan, after: executed } = JSON.parse(stdout);
  assert.deepEqual([plan, executed, status], [null, null, undefined]);
});

test("finish(run) has exit status 1 for a budget that cannot be met, and says so", async (t) => {
  const plan = planned.plan && { ...planned.plan, feasible: false };
  const { stderr, status } = await finished(t, { ...planned, plan, after: null, equality: null }, true);
  assert.match(stderr, /^mutwo: infeasible budget: .*\n$/);
  assert.equal(status, 1);
});

test("finish(run) has exit status 1 for a plan that computes otherwise", async (t) => {
  const equality = planned.equality && { ...planned.equality, different: ["loss in step 1"] };
  assert.equal((await finished(t, { ...planned, equality }, true)).status, 1);
});
