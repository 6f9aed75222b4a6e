import assert from "node:assert/strict";
import { test } from "node:test";
import type { Finding, Rule } from "../src/run/finding.js";
import { findingsOf } from "../src/run/findings.js";
import type { NodeRow } from "../src/run/node-rows.js";
import type { Profile } from "../src/run/profile.js";
import type { Run } from "../src/run/run.js";
import { samplesOf } from "../src/run/samples.js";
import { goldenRun } from "./golden-run.js";

export const resnet = goldenRun("resnet-h100");
export const gpt2 = goldenRun("gpt2-h100");
export const mlp = goldenRun("mlp-cpu");

/** The run as it was before it was planned. */
export const unplanned = (run: Run): Run => ({ ...run, plan: null, after: null, paired: null, equality: null });

/** The run with another profile of the unplanned step. */
export const profiled = (run: Run, changed: Partial<Profile>): Run => ({
  ...run,
  before: { ...run.before, ...changed },
});

/** The run with other times of nodes. */
export function timed(run: Run, msOf: (row: NodeRow) => number): Run {
  const nodes = run.before.nodes.map((row) => ({ ...row, time: samplesOf([msOf(row)]) }));
  const nodesMs = nodes.reduce((sum, { time }) => sum + time.medianMs, 0);
  return profiled(run, { nodes, nodesMs, step: samplesOf([nodesMs]) });
}

/** The run on a device of another name, memory or with other settings. */
export const onDevice = (run: Run, changed: Partial<Profile["device"]>): Run =>
  profiled(run, { device: { ...run.before.device, ...changed } });

/** For each rule a run in which it finds something, what it must say, and one in which it finds nothing. */
export type Cases = Readonly<Record<string, { readonly fires: Run; readonly says: RegExp; readonly quiet: Run }>>;

const of = (run: Run, name: string): Finding[] => findingsOf(run).filter(({ rule }) => rule === name);

/** Tests that every rule has a case, finds what it is for, with evidence, and nothing elsewhere. */
export function testRules(rules: readonly Rule[], cases: Cases): void {
  for (const { name, severity, threshold } of rules)
    test(`findings: rule ${name} fires where it should, and only there`, () => {
      const { fires, says, quiet } = cases[name] ?? assert.fail(`no case of rule ${name}`);
      if (threshold) assert.ok(threshold.value > 0 && threshold.of, "a threshold is a number with its unit");
      const [found] = of(fires, name);
      assert.ok(found, "it finds nothing");
      assert.equal(found.severity, severity);
      assert.match(`${found.title}: ${found.evidence}`, says);
      assert.match(found.evidence, /\d|batch norm/);
      assert.match(found.todo, /\.$/);
      if (found.gainBytes !== undefined) assert.ok(Number.isFinite(found.gainBytes));
      if (found.gainMs !== undefined) assert.ok(Number.isFinite(found.gainMs));
      assert.deepEqual(of(quiet, name), []);
    });
}
