import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import Papa from "papaparse";
import type { Tensor } from "../../src/graph/graph.js";
import { readTables, tableFile } from "../../src/report/read-tables.js";
import { activationCsv, nodeCsv } from "../../src/report/tables.js";
import { branches, moduleTree } from "../../src/run/module-tree.js";
import { profileModel } from "../../src/run/pipeline.js";
import { planRun } from "../../src/run/replan.js";
import type { Run, SavedTensor } from "../../src/run/run.js";
import { at } from "../at.js";
import { goldenRun } from "../golden-run.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-tables-"));

after(() => rmSync(folder, { recursive: true }));

/** Writes both tables of a run into a folder of their own, changed as asked; returns the node table's path. */
function written(run: Run, change: { nodes?: (csv: string) => string; activations?: (csv: string) => string } = {}) {
  const place = mkdtempSync(path.join(folder, "run-"));
  const same = (csv: string): string => csv;
  writeFileSync(path.join(place, "nodes.csv"), (change.nodes ?? same)(nodeCsv(run)));
  writeFileSync(path.join(place, "activations.csv"), (change.activations ?? same)(activationCsv(run)));
  return path.join(place, "nodes.csv");
}

/** What a plan says of a step, without how long planning took. */
const planOf = (run: Run, options: Parameters<typeof planRun>[1]) => {
  const { plan } = planRun(run, options);
  assert.ok(plan);
  const { planningMs: _, beside, decisions, ...rest } = plan;
  return {
    ...rest,
    decisions: decisions.map(({ why: _why, ...decision }) => decision),
    beside: beside?.map(({ peakBytes, addedMs }) => [peakBytes, addedMs]),
  };
};

const goals = [
  { planner: "best", budget: "80%", moves: 300, timeLimit: 1000 },
  { planner: "best", budget: "65%", moves: 300, timeLimit: 1000 },
  { planner: "mutwo", budget: "80%" },
  { planner: "mutwo", budget: "60%", swap: false },
  { planner: "swapAll" },
  { planner: "recomputeAll" },
];

const profiled = (model: string, options: object): Promise<Run> =>
  profileModel(at(`fixtures/${model}`), {
    loss: "mse",
    optimizer: "adam",
    iterations: 1,
    warmups: 0,
    threads: 1,
    ...options,
  });

const runs: readonly { name: string; run: () => Promise<Run> | Run }[] = [
  ...(["resnet-h100", "gpt2-h100", "mlp-cpu"] as const).map((name) => ({ name, run: () => goldenRun(name) })),
  { name: "mlp on this CPU", run: () => profiled("mlp.ts.onnx", {}) },
  {
    name: "GPT-2, estimated",
    run: () =>
      profiled("gpt2_tiny.dynamo.onnx", { loss: "ce", backend: "estimate", deviceSpec: "h100", threads: undefined }),
  },
];

for (const { name, run: make } of runs)
  test(`readTables plans as the run itself does: ${name}`, async () => {
    const run = JSON.parse(JSON.stringify(await make())) as Run;
    const read = readTables(written(run));
    assert.equal(read.before.arenaBytes, run.before.arenaBytes);
    for (const goal of goals) assert.deepEqual(planOf(read, goal), planOf(run, goal), JSON.stringify(goal));
  });

test("readTables gives graph, profile and tables back, and says what it does not know", () => {
  const run = goldenRun("resnet-h100");
  const read = readTables(written(run));
  const plain = ({ tensors }: Run["graph"]) =>
    new Map(
      (tensors as (SavedTensor & Pick<Tensor, "range">)[]).map(({ dataBase64: _, range: _range, ...tensor }) => [
        tensor.name,
        tensor,
      ]),
    );
  assert.deepEqual(read.graph.nodes, run.graph.nodes);
  assert.deepEqual(plain(read.graph), plain(run.graph));
  assert.deepEqual(new Set(read.graph.state), new Set(run.graph.state));
  assert.deepEqual(
    [read.graph.outputs, [...read.graph.inputs].sort()],
    [run.graph.outputs, [...run.graph.inputs].sort()],
  );
  assert.deepEqual(read.before.activations, run.before.activations);
  assert.deepEqual(
    [read.model.parameters, read.model.parameterBytes],
    [run.model.parameters, run.model.parameterBytes],
  );
  assert.deepEqual(read.before.timeline, run.before.timeline);
  assert.match(read.warnings[0]?.text ?? "", /^read from tables: nodes.csv and activations.csv; /);
  const again = readTables(written(read));
  assert.deepEqual(again.graph, read.graph);
  assert.deepEqual(again.before, read.before);
});

test("tableFile names the node table of a folder without run.json", () => {
  const nodes = written(goldenRun("mlp-cpu"));
  const place = path.dirname(nodes);
  assert.equal(tableFile(nodes), nodes);
  assert.equal(tableFile(place), nodes);
  assert.equal(tableFile(path.join(place, "run.json")), undefined);
  writeFileSync(path.join(place, "run.json"), "{}");
  assert.equal(tableFile(place), undefined);
  mkdirSync(path.join(place, "empty"));
  assert.equal(tableFile(path.join(place, "empty")), undefined);
});

/** Changes a table's cell; lines begin with the row's first cell. */
const replaced =
  (from: string | RegExp, to: string) =>
  (csv: string): string => {
    const changed = csv.replace(from, to);
    assert.notEqual(changed, csv);
    return changed;
  };

/** A table as older versions wrote it: without some columns. */
const without =
  (...names: readonly string[]) =>
  (csv: string): string => {
    const { data, meta } = Papa.parse<Record<string, string>>(csv, { header: true, skipEmptyLines: true });
    const columns = meta.fields?.filter((name) => !names.includes(name)) ?? [];
    return `${Papa.unparse(data, { columns, newline: "\n" })}\n`;
  };

test("readTables reads tables with and without modules; with them the module tree is the run's", () => {
  const run = goldenRun("resnet-h100");
  const paths = (one: Run): string[] =>
    branches(moduleTree({ ...one, plan: null, after: null }).root).map(
      ({ path, own }) => `${path} ${own.nodes} ${own.peakBytes}`,
    );
  const read = readTables(written(run));
  assert.equal(read.graph.origins?.basis, "tables");
  assert.deepEqual(paths(read).slice(1).sort(), paths(run).slice(1).sort());
  const old = readTables(written(run, { nodes: without("module", "source"), activations: without("module") }));
  assert.equal(old.graph.origins, undefined);
  // names of its nodes tell as much
  assert.equal(moduleTree(old).basis, "names");
});

const wrong: readonly { nodes?: (csv: string) => string; activations?: (csv: string) => string; says: RegExp }[] = [
  { nodes: replaced(",inputs,", ",ins,"), says: /^column missing: inputs \(.*nodes\.csv\)$/ },
  { activations: replaced("swap_time_ms", "swap"), says: /^column missing: swap_time_ms \(.*activations\.csv\)$/ },
  { nodes: (csv) => csv.slice(0, csv.indexOf("\n") + 1), says: /^no rows \(/ },
  { nodes: replaced(/\n1,/, "\n7,"), says: /^row 2 has rank 7, not 1 \(/ },
  {
    nodes: replaced(/,forward,forward,mod\.0,,[\d.e-]+,/, ",forward,forward,,,fast,"),
    says: /^row 1 has no number in median_run_time_ms: fast \(/,
  },
  {
    nodes: replaced(/,forward,forward,mod\.0,,[\d.e-]+,/, ",forward,forward,,,,"),
    says: /^row 1 has no number in median_run_time_ms: empty \(/,
  },
  {
    nodes: replaced(/,forward,forward,mod\.0,,[\d.e-]+,/, ",forward,forward,,,-1,"),
    says: /^row 1 has a negative number in median_run_time_ms: -1 \(/,
  },
  { nodes: replaced(",forward,forward,", ",sideways,forward,"), says: /^row 1 has an unknown phase: sideways \(/ },
  { nodes: replaced("float32[", "float33["), says: /^row 1 has no tensor in tensors: float33\[/ },
  { nodes: replaced(/""type"":""\w+"",/, ""), says: /^row \d+ has no type and value in attributes for \w+: / },
  { nodes: replaced('"[""', '"[[""'), says: /^row 1 has no JSON list in inputs: / },
  {
    activations: replaced(/\n([^,]+),/, "\nnobody,"),
    says: /^row 1 is no saved activation of the node table: nobody \(/,
  },
  {
    activations: replaced(/\n([^,]+),[^,]+,/, "\n$1,nobody,"),
    says: /^row 1 contradicts the node table: producing_node_name of .* is nobody, there /,
  },
  { activations: (csv) => csv.replace(/\n[^\n]*\n$/, "\n"), says: /^no row of a saved activation of the node table: / },
  {
    activations: (csv) => csv.replace(/(\n[^\n]*)\n$/, "$1$1\n"),
    says: /^row \d+ is of an activation that another row is of: /,
  },
];

test("readTables says in one line what is wrong with a table", () => {
  const run = goldenRun("mlp-cpu");
  for (const { says, ...change } of wrong)
    assert.throws(
      () => readTables(written(run, change)),
      ({ message }: Error) => {
        assert.match(message, says);
        return !message.includes("\n");
      },
    );
  const nodes = written(run);
  rmSync(path.join(path.dirname(nodes), "activations.csv"));
  assert.throws(() => readTables(nodes), /^Error: cannot read table: .*activations\.csv \(ENOENT\)$/);
  assert.throws(() => readTables("planned-nodes.csv"), /^Error: tables of a planned step: planned-nodes.csv \(/);
  assert.throws(() => readTables("rows.csv"), /not a node table: rows.csv/);
  assert.ok(readFileSync(nodes, "utf8").startsWith("rank,"));
});
