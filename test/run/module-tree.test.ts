import assert from "node:assert/strict";
import { test } from "node:test";
import { type Category, categories, phases } from "../../src/graph/graph.js";
import { branches, type ModuleBranch, moduleTree } from "../../src/run/module-tree.js";
import { isOutside, outside } from "../../src/run/modules.js";
import { peakParts } from "../../src/run/peak-parts.js";
import { profileModel } from "../../src/run/pipeline.js";
import { plannedRows } from "../../src/run/planned-rows.js";
import type { Run } from "../../src/run/run.js";
import { at } from "../at.js";
import { goldenRun } from "../golden-run.js";

const close = (a: number, z: number, what: string): void =>
  assert.ok(Math.abs(a - z) <= 1e-9 * Math.max(1, Math.abs(z)), `${what}: ${a}, not ${z}`);

/** Checks that all costs of a tree add up to those of the step, at the root and at every branch. */
function addsUp(run: Run, which: "unplanned" | "planned"): void {
  const { root } = moduleTree(run, which);
  const nodes = which === "unplanned" ? run.before.nodes : (plannedRows(run)?.nodes ?? []);
  const { total } = root;
  assert.equal(total.nodes, nodes.length);
  for (const phase of phases) {
    const own = nodes.filter((node) => node.phase === phase).reduce((sum, { time }) => sum + time.medianMs, 0);
    close(total.phaseMs[phase], own, phase);
  }
  close(
    total.ms,
    nodes.reduce((sum, { time }) => sum + time.medianMs, 0),
    "time",
  );
  close(total.timeShare, 1, "share of time");
  const { timeline } = which === "unplanned" ? run.before : (run.after ?? run.before);
  assert.equal(total.peakBytes, timeline.peakBytes);
  for (const category of categories)
    assert.equal(total.peakBytesBy[category], timeline.byCategory[category][timeline.peakRank], category);
  const { activations } = run.before;
  assert.equal(total.saved, activations.length);
  assert.equal(
    total.savedBytes,
    activations.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0),
  );
  const decisions = run.plan?.decisions ?? [];
  assert.equal(total.recomputed + total.swapped, decisions.length);
  assert.equal(
    total.freedBytes,
    decisions.reduce((sum, { savedBytes }) => sum + savedBytes, 0),
  );
  close(
    total.addedMs,
    decisions.reduce((sum, { addedMs }) => sum + addedMs, 0),
    "added",
  );
  for (const branch of branches(root)) sumsOf(branch);
}

function sumsOf({ path, own, total, children, lines }: ModuleBranch): void {
  const sum = (get: (costs: ModuleBranch["total"]) => number): number =>
    children.reduce((all, child) => all + get(child.total), get(own));
  for (const key of ["nodes", "peakBytes", "saved", "savedBytes", "recomputed", "swapped", "freedBytes"] as const)
    assert.equal(
      total[key],
      sum((costs) => costs[key]),
      `${key} of ${path}`,
    );
  for (const phase of phases)
    close(
      total.phaseMs[phase],
      sum((costs) => costs.phaseMs[phase]),
      `${phase} of ${path}`,
    );
  close(
    total.ms,
    phases.reduce((all, phase) => all + total.phaseMs[phase], 0),
    `time of ${path}`,
  );
  assert.equal(
    total.peakBytes,
    categories.reduce((all, one: Category) => all + total.peakBytesBy[one], 0),
  );
  assert.ok(lines.reduce((all, line) => all + line.nodes, 0) <= own.nodes);
}

const profiled = (file: string, options: object): Promise<Run> =>
  profileModel(at("fixtures", file), {
    loss: "ce",
    optimizer: "adam",
    iterations: 1,
    warmups: 0,
    threads: 1,
    ...options,
  } as Parameters<typeof profileModel>[1]);

for (const name of ["resnet-h100", "gpt2-h100", "mlp-cpu"] as const)
  test(`moduleTree(run) of ${name} adds up to the step's time, peak, activations and decisions`, () => {
    const run = goldenRun(name);
    addsUp(run, "unplanned");
    addsUp(run, "planned");
    addsUp({ ...run, plan: null, after: null }, "unplanned");
  });

test("moduleTree adds up with micro-batches, chunks, 16 bits and clipped gradients, swapped as planned", async () => {
  const run = await profiled("gpt2_tiny.dynamo.onnx", {
    loss: "ce:chunks=2",
    accumulate: 2,
    clipNorm: 1,
    precision: "mixed",
    planner: "swapAll",
  });
  addsUp(run, "unplanned");
  addsUp(run, "planned");
  const unknown = moduleTree(run).root.children.find(({ path }) => path === outside.unknown);
  assert.equal(unknown?.total.nodes ?? 0, 0);
});

test("moduleTree has a branch for each module, nested as in the user's code, with what is in none last", () => {
  const { basis, root } = moduleTree(goldenRun("resnet-h100"));
  assert.equal(basis, "names");
  assert.equal(root.name, "resnet_bottleneck_dynamic.onnx");
  const [first, ...rest] = root.children.map(({ path }) => path);
  assert.equal(first, "m");
  assert.ok(rest.includes(outside.loss) && rest.every(isOutside));
  const all = branches(root);
  assert.equal(new Set(all.map(({ path }) => path)).size, all.length);
  for (const { path, children } of all)
    for (const child of children) if (path) assert.equal(child.path, `${path}.${child.name}`);
  const stage = all.find(({ path }) => path === "m.resnet.encoder.stages.0.layers.0");
  assert.ok(stage && stage.total.peakBytesBy.activation > 0 && stage.total.phaseMs.backward > 0);
});

test("moduleTree and peakParts of a planned step ask for a plan", () => {
  const run = { ...goldenRun("mlp-cpu"), plan: null, after: null };
  assert.throws(() => moduleTree(run, "planned"), /^Error: run has no plan: planned modules/);
  assert.throws(() => peakParts(run, "planned"), /^Error: run has no plan: planned modules/);
});

test("moduleTree tells classes and lines of the user's code where the exporter noted them", () => {
  const run = goldenRun("mlp-cpu");
  const origins = {
    basis: "exporter" as const,
    modules: [
      { path: "", class: "__main__.Mlp" },
      { path: "mod.0", class: "torch.nn.modules.linear.Linear" },
    ],
    sources: [{ file: "net.py", line: 16, code: "return s.mod(x)" }],
    nodes: [["/mod/mod.0/Gemm", 1, 0] as const],
  };
  const { root } = moduleTree({ ...run, graph: { ...run.graph, origins } });
  assert.equal(root.class, "__main__.Mlp");
  const [mod] = root.children;
  const linear = mod?.children[0];
  assert.deepEqual([linear?.path, linear?.class], ["mod.0", "torch.nn.modules.linear.Linear"]);
  assert.deepEqual(linear?.source, origins.sources[0]);
  const nodes = run.before.nodes.filter(({ name }) => name.startsWith("/mod/mod.0/Gemm"));
  assert.equal(linear?.lines[0]?.nodes, nodes.length);
});
