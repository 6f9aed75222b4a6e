import assert from "node:assert/strict";
import { test } from "node:test";
import { timeline } from "../../src/memory/liveness.js";
import { levers } from "../../src/run/levers.js";
import type { OptionsOf } from "../../src/run/options.js";
import { profileModel } from "../../src/run/pipeline.js";
import { withSteps } from "../../src/run/rebuild.js";
import { planRun } from "../../src/run/replan.js";
import { saveGraph } from "../../src/run/run.js";
import { at } from "../at.js";
import { goldenRun } from "../golden-run.js";

type Options = OptionsOf<"profile">;

const h100 = { backend: "estimate", deviceSpec: "h100" } as const;

const cases: readonly (readonly [file: string, options: Options])[] = [
  ["resnet_bottleneck_dynamic.onnx", { loss: "ce", optimizer: "adam", dims: { batch: 8 } }],
  ["gpt2_tiny.dynamo.onnx", { loss: "ce", optimizer: "adamw" }],
  [
    "resnet_bottleneck_dynamic.onnx",
    { loss: "ce", optimizer: "adam", dims: { batch: 8 }, copies: 2, arrange: "fused" },
  ],
  [
    "resnet_bottleneck_dynamic.onnx",
    { loss: "ce", optimizer: "adam", dims: { batch: 8 }, copies: 2, arrange: "side-by-side" },
  ],
];

const profiled = (file: string, options: Options) => profileModel(at("fixtures", file), { ...options, ...h100 });

/** The same run as if the CPU had made it: its form of the step, whatever its times. */
async function onCpu(file: string, options: Options) {
  const run = await profiled(file, options);
  return withSteps({ ...run, before: { ...run.before, backend: "cpu" } }, (stepWith) => {
    const graph = stepWith({});
    const memory = timeline(graph);
    const nodes = graph.nodes.map(({ name }, rank) => ({ ...run.before.nodes[0], name, rank }));
    const before = { ...run.before, backend: "cpu", timeline: memory, arenaBytes: memory.peakBytes, nodes } as const;
    return { ...run, graph: saveGraph(graph), before: before as typeof run.before };
  });
}

for (const [file, options] of cases)
  for (const [form, make] of [
    ["GPU", profiled],
    ["CPU", onCpu],
  ] as const)
    test(`levers(run): estimates are within 5 % of the peak of the step built anew: ${file}, ${options.arrange ?? "alone"}, ${form}`, async () => {
      const run = await make(file, options);
      // a step without activations to plan with: what a plan gains is judged below
      const found = levers({ ...run, before: { ...run.before, activations: [] } }, { leastShare: -1 });
      const kinds = new Set(found.map(({ kind }) => kind));
      for (const kind of ["batch", "accumulate", "optimizer", "freeze", "chunks", "precision"] as const)
        assert.ok(kinds.has(kind) || (options.copies && kind === "chunks"), kind);
      const { peakBytes: unplanned } = run.before.timeline;
      withSteps(run, (stepWith) => {
        for (const { kind, changed, gainBytes, flags, command } of found) {
          if (kind === "plan" || gainBytes === null || command === null) continue;
          const built = timeline(stepWith(changed)).peakBytes;
          const estimated = unplanned - gainBytes;
          assert.ok(
            Math.abs(estimated - built) <= 0.05 * unplanned,
            `${flags}: ${estimated} estimated, ${built} built`,
          );
        }
      });
    });

/** The kinds of levers that are judged by planning anew: a few of a step that takes long. */
const judged = {
  "resnet_bottleneck_dynamic.onnx": ["plan", "accumulate"],
  "gpt2_tiny.dynamo.onnx": ["plan", "optimizer", "freeze"],
} as Readonly<Record<string, readonly string[]>>;

for (const [file, options] of cases)
  test(`levers(run): of an infeasible plan, estimates are within 10 % of the least peak planned anew: ${file}`, async () => {
    // levers are of what stays on the device
    const planned = { ...options, planner: "mutwo", swap: false } as const;
    const run = await profiled(file, { ...planned, budget: options.copies ? "30%" : "40%" });
    assert.ok(run.plan && !run.plan.feasible);
    const { budgetBytes, minimumPeakBytes } = run.plan;
    const found = levers(run).filter(({ kind }) => judged[file]?.includes(kind));
    assert.equal(new Set(found.map(({ kind }) => kind)).size, judged[file]?.length);
    for (const { kind, changed, peakBytes, flags, fits, command } of found) {
      assert.match(command ?? "", /^mutwo profile .* --backend estimate .*--budget \d+B/);
      const { plan } = await profiled(file, { ...planned, budget: `${budgetBytes}B`, ...changed });
      assert.ok(plan && peakBytes !== null);
      if (kind === "plan") {
        assert.ok(plan.feasible && plan.peakBytes <= peakBytes && fits === false, flags);
        continue;
      }
      const anew = plan.feasible ? plan.peakBytes : plan.minimumPeakBytes;
      assert.equal(fits, plan.feasible, flags);
      if (!plan.feasible)
        assert.ok(
          Math.abs(peakBytes - anew) <= 0.1 * minimumPeakBytes,
          `${flags}: ${peakBytes} estimated, ${anew} anew`,
        );
    }
  });

test("levers(run): for an infeasible budget the batch is the largest that is estimated to fit", async () => {
  const [file, options] = cases[0] as (typeof cases)[number];
  const run = await profiled(file, options);
  const atBatch = async (batch: number) => (await profiled(file, { ...options, dims: { batch } })).before.arenaBytes;
  const between = Math.floor(((await atBatch(6)) + (await atBatch(7))) / 2);
  const unplanned = planRun(run, { planner: "keepAll", budget: "99%" }).plan;
  assert.ok(unplanned && !unplanned.feasible);
  const batchFor = (budgetBytes: number) => {
    // keeps all, and knows of no lower peak
    const plan = { ...unplanned, budgetBytes, minimumPeakBytes: run.before.arenaBytes, minimumPlanner: undefined };
    const found = levers({ ...run, plan });
    const { changed, fits } = found.find(({ kind }) => kind === "batch") ?? {};
    return [changed?.dims, fits];
  };
  assert.deepEqual(batchFor(between), [{ batch: 6 }, true]);
  assert.deepEqual(batchFor(1), [{ batch: 4 }, false]);
});

test("levers(run): commands hold the run's own options and plan; a fixed batch is to be exported first", () => {
  const run = goldenRun("resnet-h100");
  const [first] = levers(run);
  assert.equal(
    first?.command,
    "mutwo profile test/fixtures/resnet_bottleneck_dynamic.onnx --loss ce --optimizer sgd:lr=1e-2,momentum=0.9 --dim batch=4 --backend cuda --budget 1010784B --planner mutwo --no-swap",
  );
  assert.equal(first?.flags, "--dim batch=4");
  const fixed = levers({ ...run, model: { ...run.model, dims: {} } }).find(({ kind }) => kind === "batch");
  assert.equal(fixed?.command, null);
  assert.match(fixed?.note ?? "", /export the model with a symbolic batch first/);
  // a lever that is pulled is none
  const pulled = { ...run.model, loss: "ce:chunks=2", precision: "mixed", optimizer: "sgd:momentum=0" };
  const graph = { ...run.graph, tensors: run.graph.tensors.map(stateless) };
  assert.deepEqual(
    levers({ ...run, graph, model: pulled }, { leastShare: -1 }).map(({ kind }) => kind),
    ["batch", "accumulate", "freeze"],
  );
  assert.deepEqual(levers({ ...run, before: { ...run.before, backend: "tables" } }), []);
});

/** Tensors without optimizer state. */
const stateless = <T extends { readonly category: string; readonly within?: unknown }>(tensor: T): T =>
  tensor.category === "optimizer state" ? { ...tensor, category: "buffer" } : tensor;

test("levers(run): an unplanned step's plan is one that a budget of its size gives", async () => {
  const run = { ...goldenRun("resnet-h100"), plan: null, after: null, paired: null, equality: null };
  const [first] = levers(run);
  assert.ok(first?.kind === "plan" && first.peakBytes !== null && first.addedMs !== null);
  const { plan } = planRun(run, { budget: first.changed.budget, moves: 100, timeLimit: 1 });
  assert.ok(plan?.feasible && plan.peakBytes <= first.peakBytes && plan.addedMs <= first.addedMs);
});
