import assert from "node:assert/strict";
import { test } from "node:test";
import { comparison } from "../../src/report/comparison.js";
import type { Run } from "../../src/run/run.js";
import { goldenRun } from "../golden-run.js";

const cpu = goldenRun("mlp-cpu");

const gpu = goldenRun("gpt2-h100");

const unexecuted = (run: Run): Run => ({ ...run, after: null, equality: null, paired: null });

const textOf = (run: Run, place: "terminal" | "report", what: string) =>
  comparison(run, place).find((row) => row.what === what);

test("comparison(run, place): the terminal's rows are those of the report, under shorter names, in the same numbers", () => {
  const same: readonly (readonly [terminal: string, report: string])[] = [
    ["peak, predicted", "peak, predicted (arena)"],
    ["peak, measured", "peak, measured (allocated)"],
    ["step, predicted", "step, predicted"],
    ["step, measured", "step, measured (median ± spread)"],
    ["step, measured in turn", "step, measured in turn"],
  ];
  assert.equal(comparison(cpu, "terminal").length, same.length);
  for (const [terminal, report] of same) {
    const [short, long] = [textOf(cpu, "terminal", terminal), textOf(cpu, "report", report)];
    assert.deepEqual([short?.before, short?.after], [long?.before, long?.after], terminal);
  }
});

test("comparison(run, place) shows details of the device where steps are captured", () => {
  const details = (run: Run): string[] => comparison(run, "terminal").map(({ what }) => what);
  assert.ok(details(gpu).includes("context and libraries"));
  assert.ok(details(gpu).includes("sum of node times"));
  assert.ok(!details(cpu).includes("sum of node times"));
  assert.ok(textOf(cpu, "report", "sum of node times (against the step)"));
  assert.equal(textOf(cpu, "report", "device: values (the arena)"), undefined);
  assert.ok(textOf(gpu, "report", "device: values (the arena)"));
});

test("comparison(run, place) says that a planned step was not executed; in a terminal not of every detail", () => {
  const run = unexecuted(gpu);
  assert.equal(textOf(run, "report", "peak, measured (allocated)")?.after, "not executed");
  assert.equal(textOf(run, "report", "device: values (the arena)")?.after, "not executed");
  assert.equal(textOf(run, "terminal", "peak, measured")?.after, "not executed");
  assert.equal(textOf(run, "terminal", "values, allocated")?.after, "");
  assert.notEqual(textOf(run, "terminal", "peak, predicted")?.after, "not executed");
});

test("comparison(run, place) tells all that the process holds apart, and when it held most", () => {
  const memory = gpu.before.memory && {
    ...gpu.before.memory,
    kernelsBytes: 2 ** 20,
    graphsBytes: 2 ** 21,
    otherBytes: 1,
  };
  const run: Run = { ...gpu, before: { ...gpu.before, memory }, processPeak: { bytes: 2 ** 33, stage: "compare" } };
  assert.equal(textOf(run, "terminal", "kernels' code")?.before, "1.00 MiB");
  assert.equal(textOf(run, "report", "device: captured graphs")?.before, "2.00 MiB");
  assert.equal(textOf(run, "terminal", "process at most")?.before, "8.00 GiB (while both steps ran in turn)");
  // runs of older versions do not say
  assert.equal(textOf(gpu, "terminal", "captured graphs"), undefined);
  assert.equal(textOf(gpu, "terminal", "process at most"), undefined);
});

test("comparison(run, place) compares times in turn only where both steps ran so", () => {
  assert.ok(textOf(cpu, "report", "step, measured in turn"));
  assert.equal(textOf(unexecuted(cpu), "report", "step, measured in turn"), undefined);
});
