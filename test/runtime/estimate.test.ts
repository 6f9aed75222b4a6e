import assert from "node:assert/strict";
import { test } from "node:test";
import { runSummary } from "../../src/commands/summary.js";
import { decompressed } from "../../src/report/page-data.js";
import { reportHtml } from "../../src/report/report.js";
import { activationCsv, activationTable, nodeColumns, nodeCsv, parseCsv } from "../../src/report/tables.js";
import type { ProfileModelOptions } from "../../src/run/options.js";
import { profileModel } from "../../src/run/pipeline.js";
import { planRun } from "../../src/run/replan.js";
import { readDeviceSpec } from "../../src/runtime/device-spec.js";
import { openEstimate } from "../../src/runtime/estimate.js";
import { readRecording } from "../../src/runtime/recording.js";
import { at } from "../at.js";

const fixture = (name: string): string => at("fixtures", `${name}.onnx`);

const estimated = (name: string, options: Partial<ProfileModelOptions> = {}) =>
  profileModel(fixture(name), {
    loss: "ce",
    optimizer: "adam:lr=1e-4",
    backend: "estimate",
    deviceSpec: "h100",
    ...options,
  });

for (const [name, model, options] of [
  ["bert_base", "full/bert_base", { dims: { batch: 32 } }],
  ["gpt2_small", "full/gpt2_small", { dims: { batch: 8 } }],
  ["gpt2_tiny", "gpt2_tiny.dynamo", { optimizer: "adam:lr=1e-3" }],
] as const)
  test(`an estimate's memory is what a GPU took, or what layouts have become better since: ${name}`, async () => {
    const { before } = await estimated(model, options);
    const taken = Object.values(readRecording(at("recordings", `${name}.recording`)).steps)[0]?.memory?.valuesBytes;
    assert.ok(
      taken && before.arenaBytes <= 1.001 * taken && before.arenaBytes > 0.98 * taken,
      `${before.arenaBytes} ${taken}`,
    );
  });

test("profileModel(estimate) executes nothing, and every time says that it is estimated", async () => {
  const run = await estimated("resnet_bottleneck_dynamic", { dims: { batch: 8 }, budget: "75%", planner: "mutwo" });
  const { before, plan } = run;
  assert.ok(plan?.feasible && plan.decisions.length > 0);
  assert.deepEqual([run.after, run.equality, run.paired, before.estimated], [null, null, null, true]);
  assert.deepEqual([before.iterations, before.losses, before.allocatedBytes], [0, [], 0]);
  assert.ok(before.activations.every(({ swapMeasured }) => !swapMeasured));
  assert.ok(plan.decisions.every(({ why }) => why.endsWith("(times estimated)")));
  const times = runSummary(run).match(/^.*\d [mµ]?s\b.*/gm) ?? [];
  assert.ok(times.length >= 2);
  for (const line of times) assert.match(line, /\(estimated\)/);
  for (const csv of [nodeCsv(run), activationCsv(run)])
    for (const heading of (csv.split("\n")[0] as string).split(","))
      assert.ok(!/_ms$/.test(heading) || heading.startsWith("estimated_"), heading);
  assert.equal(typeof parseCsv(nodeColumns, nodeCsv(run))[0]?.median_run_time_ms, "number");
  assert.ok(activationTable(run).columns.includes("estimated_swap_time_ms"));
  const page = reportHtml(run);
  const data = /<script type="text\/plain" id="data">([^<]*)</.exec(page)?.[1] ?? "";
  const html = page + decompressed(data);
  for (const said of ["estimated for NVIDIA H100", "estimated added time", "estimated swap", "estimated time"])
    assert.ok(html.includes(said), said);
  assert.ok(!html.includes("(measured)</th>"));
});

test("planRun(run) of an estimate is estimated; the warning of a plan that does not fit is the new plan's", async () => {
  const run = await estimated("resnet_bottleneck_dynamic", { dims: { batch: 8 } });
  const small = { ...run.before.device, memoryBytes: Math.floor(0.6 * run.before.arenaBytes) };
  const tight = { ...run, before: { ...run.before, device: small } };
  const said = (budget: string): string[] =>
    planRun(tight, { budget, planner: "mutwo" }).warnings.map(({ about, text }) => `${about}: ${text}`);
  const [estimate, ...fits] = said("75%");
  assert.match(estimate ?? "", /^run: estimated for NVIDIA H100/);
  assert.match(
    fits.join(),
    /^planned: the planned step does not fit in the .* of NVIDIA H100 SXM 80GB: its values alone/,
  );
  assert.match(runSummary(planRun(tight, { budget: "75%", planner: "mutwo" })), /more \(estimated\)/);
});

test("profileModel(estimate) plans a step that the device cannot hold, and says so", async () => {
  const run = await estimated("full/resnet50", { dims: { batch: 512 }, deviceSpec: "l4" });
  assert.match(
    run.warnings.map(({ text }) => text).join("\n"),
    /the unplanned step does not fit in the 24\.0 GiB of NVIDIA L4 24GB: its values alone need 40\.\d GiB$/,
  );
});

test("products are estimated at the peak of their type", async () => {
  const ms = async (options: Partial<ProfileModelOptions>): Promise<number> =>
    (await estimated("full/bert_base", { dims: { batch: 32 }, ...options })).before.step.medianMs;
  const [mixed, tf32, float32, float64] = [
    await ms({ precision: "mixed" }),
    await ms({}),
    await ms({ tf32: false }),
    await ms({ precision: "float64" }),
  ];
  assert.ok(mixed < tf32 && tf32 < float32 && float32 < float64, `${mixed} ${tf32} ${float32} ${float64}`);
});

test("openEstimate(spec) cannot compute", async () => {
  const runtime = openEstimate(readDeviceSpec("h100"));
  const step = runtime.load({ name: "g", nodes: [], tensors: new Map(), inputs: [], outputs: [], state: [] }, {
    arenaBytes: 0,
  } as never);
  await assert.rejects(step.run(), /^Error: an estimate cannot compute: g$/);
  assert.throws(() => step.read("x"), /an estimate cannot compute/);
});
