import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { Tensor } from "onnxruntime-node";
import { exportStep } from "../../src/export/export.js";
import { exportRun, writeOnnx } from "../../src/export/export-file.js";
import { type Graph, tensorBytes, tensorOf } from "../../src/graph/graph.js";
import { savedActivations } from "../../src/memory/activations.js";
import { bindModel } from "../../src/model/bind.js";
import type { Model } from "../../src/model/model.js";
import { encodeOnnx, openOnnx, parseOnnx } from "../../src/model/onnx.js";
import { readModel } from "../../src/model/read.js";
import { readSafetensors } from "../../src/model/safetensors.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { profileModel } from "../../src/run/pipeline.js";
import type { Run } from "../../src/run/run.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { initialValues } from "../../src/step/initial.js";
import { lower } from "../../src/step/lower.js";
import { type TrainingOptions, trainingStep } from "../../src/step/training.js";
import { at } from "../at.js";
import { bytesOfTensor, openSession, runExported, runInterpreted } from "../exported.js";
import { program } from "../program.js";

// one thread in both, so that sums run over the same parts
const runtime = openCpu({ threads: 1 });

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-export-"));

after(() => {
  runtime.close();
  rmSync(folder, { recursive: true });
});

const fixture = (name: string): string => at("fixtures", name);

function stepOf(file: string, options: TrainingOptions, dims = {}) {
  const step = trainingStep(readModel(fixture(file), { dims, runtime }).graph, options);
  const graph = lower(step, runtime.hasKernel);
  return { graph, values: initialValues(graph, step, 0) };
}

const recomputeAll = (graph: Graph): Graph =>
  rewrite(
    graph,
    [...savedActivations(graph).values()].flatMap(({ name, fixed }) =>
      fixed ? [] : [{ activation: name, action: "recompute" as const }],
    ),
  );

function differing(actual: Map<string, Uint8Array>[], expected: Map<string, Uint8Array>[]): string[] {
  return expected.flatMap((outputs, i) =>
    [...outputs].flatMap(([name, bytes]) =>
      Buffer.compare(bytes, actual[i]?.get(name) ?? new Uint8Array(0)) === 0 ? [] : [`${name} in step ${i + 1}`],
    ),
  );
}

const cases: readonly (readonly [file: string, options: TrainingOptions, dims?: Record<string, number>])[] = [
  ["mlp.ts.onnx", { loss: "mse", optimizer: "sgd" }],
  ["mlp.ts.onnx", { loss: "mse", optimizer: "adam", accumulate: 2, clipNorm: 0.1 }],
  ["resnet_basic.ts.onnx", { loss: "ce", optimizer: "sgd:lr=0.1" }],
  ["resnet_basic.ts.onnx", { loss: "ce", optimizer: "adam", freeze: ["*stages.0*"] }],
  ["resnet_bottleneck_dynamic.onnx", { loss: "ce", optimizer: "adamw" }, { batch: 3 }],
  ["mlp.ts.onnx", { loss: "ce:chunks=3", optimizer: "adam" }],
  // the loss scale and what guards the update are standard nodes
  ["mlp.ts.onnx", { loss: "mse", optimizer: "adam", precision: "mixed" }],
];

for (const [file, options, dims] of cases)
  test(`exportStep(${file}, ${JSON.stringify(options)}) gives the interpreter's bits in two steps, planned or not`, async () => {
    const { graph, values } = stepOf(file, options, dims);
    const { step: loaded } = loadWithValues(graph, runtime, values);
    const plain = exportStep(graph, { values, feedState: true });
    const expected = await runInterpreted(graph, loaded, plain.names, 2);
    loaded.close();
    // the loss, every gradient, every state
    assert.equal(expected[0]?.size, plain.model.outputs.length);
    assert.deepEqual(differing(await runExported(plain.model, plain.names, graph, values, 2), expected), []);
    for (const [graphOptimizationLevel, hideShapes] of [["disabled", false] as const, ["all", true] as const]) {
      const planned = exportStep(recomputeAll(graph), { values, feedState: true, hideShapes });
      assert.ok(planned.model.nodes.length > plain.model.nodes.length);
      assert.deepEqual(
        differing(
          await runExported(planned.model, planned.names, graph, values, 2, { graphOptimizationLevel }),
          expected,
        ),
        [],
        graphOptimizationLevel,
      );
    }
  });

const mlp = stepOf("mlp.ts.onnx", { loss: "mse", optimizer: "adam" });

const resnet = stepOf("resnet_bottleneck_dynamic.onnx", { loss: "ce", optimizer: "sgd" }, { batch: 8 });

test("exportStep(graph) gives gradients and next states under names that are free", async () => {
  const source = openOnnx(fixture("mlp.ts.onnx"));
  const [weight = ""] = source.initializers.keys();
  const wishes = [`${weight}.grad`, `${weight}.next`, `${weight}.m`, "loss", "target", "parameters"];
  const activations = source.nodes.slice(0, wishes.length).map(({ outputs }) => outputs[0]);
  const to = (name: string): string => wishes[activations.indexOf(name)] ?? name;
  const model: Model = {
    ...source,
    nodes: source.nodes.map((node) => ({ ...node, inputs: node.inputs.map(to), outputs: node.outputs.map(to) })),
    valueInfo: [],
  };
  const { graph: forward } = bindModel(model, { evaluate: (node, inputs) => runtime.evaluate(node, inputs) });
  const step = trainingStep(forward, { loss: "mse", optimizer: "adam" });
  const graph = lower(step, runtime.hasKernel);
  const values = initialValues(graph, step, 0);
  const { model: written, names } = exportStep(graph, { values, feedState: true });
  assert.equal(names.gradients.get(weight), `${weight}.grad_2`);
  assert.equal(names.next.get(weight), `${weight}.next_2`);
  const shapes = new Map(written.outputs.map(({ name, dims }) => [name, dims]));
  assert.deepEqual(shapes.get(`${weight}.grad_2`), source.initializers.get(weight)?.shape);
  const { step: loaded } = loadWithValues(graph, runtime, values);
  const expected = await runInterpreted(graph, loaded, names, 2);
  loaded.close();
  assert.deepEqual(differing(await runExported(written, names, graph, values, 2), expected), []);
});

test("exportStep(graph) names inputs and outputs after the model's own names", () => {
  const { model, names } = exportStep(mlp.graph, { values: mlp.values });
  const list = (values: Model["inputs"]): string[] => values.map(({ name }) => name);
  assert.deepEqual(list(model.inputs).slice(0, 2), ["input", "target"]);
  assert.equal(list(model.outputs)[0], "loss");
  assert.deepEqual([...names.next.keys()].sort(), list(model.inputs).slice(2).sort());
  for (const name of ["mod.0.weight", "mod.0.weight.m", "mod.0.weight.v", "parameters.beta1_power"])
    assert.equal(names.next.get(name), `${name}.next`);
  assert.equal(names.gradients.get("mod.0.bias"), "mod.0.bias.grad");
  const shape = (values: Model["inputs"], name: string) => values.find((value) => value.name === name)?.dims;
  for (const name of ["mod.0.weight", "mod.0.weight.m"]) {
    assert.deepEqual(shape(model.inputs, name), tensorOf(mlp.graph, "mod.0.weight").shape);
    assert.deepEqual(shape(model.outputs, `${name}.next`), tensorOf(mlp.graph, "mod.0.weight").shape);
  }
});

for (const planned of [false, true])
  test(`exportStep(graph), ${planned ? "planned" : "unplanned"}, is a well-formed model that the reader takes`, () => {
    const graph = planned ? recomputeAll(resnet.graph) : resnet.graph;
    const { model } = exportStep(graph, { values: resnet.values });
    const read = parseOnnx(encodeOnnx(model), { file: "step.onnx", folder: null });
    assert.equal(read.nodes.length, model.nodes.length);
    assert.deepEqual(model.opsets, { "": 18 });
    assert.equal(model.irVersion, 8);
    const nodeNames = model.nodes.map(({ name }) => name);
    assert.equal(new Set(nodeNames).size, nodeNames.length);
    assert.ok(nodeNames.every((name) => name !== ""));
    const known = new Set([...model.inputs.map(({ name }) => name), ...model.initializers.keys()]);
    for (const { name, domain, inputs, outputs } of model.nodes) {
      assert.equal(domain, "", name);
      for (const input of inputs) assert.ok(input === "" || known.has(input), `${name} reads ${input}`);
      for (const output of outputs) {
        assert.ok(output === "" || !known.has(output), `${name} makes ${output} again`);
        known.add(output);
      }
    }
    const values = [...model.inputs, ...model.outputs, ...model.valueInfo].map(({ name }) => name);
    assert.equal(new Set(values).size, values.length);
    for (const { name } of model.outputs) assert.ok(known.has(name), name);
  });

/** Greatest number of bytes live at once, if the nodes run in that order: views share, outputs stay. */
function livePeak(graph: Model, order: readonly string[], bytes: (tensor: string) => number): number {
  const nodes = new Map(graph.nodes.map((node) => [node.name, node]));
  const run = order.flatMap((name) => nodes.get(name) ?? []);
  assert.equal(run.length, graph.nodes.length);
  const root = new Map<string, string>();
  const origin = (name: string): string => root.get(name) ?? name;
  const last = new Map<string, number>();
  run.forEach(({ op, inputs, outputs }, i) => {
    if (["Reshape", "Unsqueeze", "Squeeze", "Flatten", "Identity"].includes(op))
      root.set(outputs[0] as string, origin(inputs[0] as string));
    for (const name of [...inputs, ...outputs]) last.set(origin(name), i);
  });
  for (const { name } of graph.outputs) last.set(origin(name), run.length);
  const frees = new Map<number, string[]>();
  for (const [name, i] of last) frees.set(i, [...(frees.get(i) ?? []), name]);
  const live = new Map<string, number>();
  let [now, peak] = [0, 0];
  run.forEach(({ outputs }, i) => {
    for (const name of outputs) {
      if (!name || root.has(name)) continue;
      live.set(name, bytes(name));
      now += bytes(name);
    }
    peak = Math.max(peak, now);
    for (const name of frees.get(i) ?? []) now -= live.get(name) ?? 0;
  });
  return peak;
}

/** Names of the nodes in the order in which a session ran them, by its own profile. */
async function sessionOrder(
  model: Model,
  names: ReturnType<typeof exportStep>["names"],
  graph: Graph,
  values: Map<string, Uint8Array>,
) {
  const inside = mkdtempSync(path.join(folder, "profile-"));
  const prefix = path.join(inside, "ort");
  const session = await openSession(model, { enableProfiling: true, profileFilePrefix: prefix });
  const feeds = Object.fromEntries(
    names.inputs.map((name) => {
      const { dtype, shape } = tensorOf(graph, name);
      const buffer = Uint8Array.from(values.get(name) as Uint8Array).buffer;
      const data = dtype === "int64" ? new BigInt64Array(buffer) : new Float32Array(buffer);
      return [name, new Tensor(dtype as "float32", data as Float32Array, [...shape])];
    }),
  );
  const outputs = await session.run(feeds);
  session.endProfiling();
  await session.release();
  const events = JSON.parse(readFileSync(path.join(inside, readdirSync(inside)[0] as string), "utf8")) as {
    cat: string;
    name: string;
  }[];
  const order = events.flatMap(({ cat, name }) =>
    cat === "Node" && name.endsWith("_kernel_time") ? [name.slice(0, -"_kernel_time".length)] : [],
  );
  return { order, loss: bytesOfTensor(outputs[names.loss]) };
}

test("exportStep(planned) runs with a lower live peak, in the order that the session chooses by itself", async () => {
  const { graph, values } = resnet;
  const measured = [];
  for (const step of [graph, recomputeAll(graph)]) {
    const { model, names } = exportStep(step, { values });
    const sizes = new Map(
      [...model.valueInfo, ...model.outputs].map(({ name, dtype, dims }) => [
        name,
        tensorBytes({ dtype, shape: dims as number[] }),
      ]),
    );
    const bytes = (name: string): number => sizes.get(name) as number;
    const { order, loss } = await sessionOrder(model, names, graph, values);
    const inFile = model.nodes.map(({ name }) => name);
    measured.push({ session: livePeak(model, order, bytes), file: livePeak(model, inFile, bytes), loss });
  }
  const [unplanned, planned] = measured;
  assert.ok(unplanned && planned);
  assert.deepEqual(planned.loss, unplanned.loss);
  assert.ok(planned.session < 0.85 * unplanned.session, `${unplanned.session} → ${planned.session}`);
  // what ONNX Runtime chooses is as good as the schedule
  assert.ok(unplanned.session <= 1.02 * unplanned.file, `${unplanned.session} of ${unplanned.file}`);
  assert.ok(planned.session <= 1.02 * planned.file, `${planned.session} of ${planned.file}`);
});

test("exportStep(forward graph) is refused", () => {
  const { graph } = readModel(fixture("mlp.ts.onnx"), { runtime });
  assert.throws(() => exportStep(graph), /^Error: not a training step: /);
});

test("writeOnnx(model) puts large data into a file beside the model, which a session finds", async () => {
  const { model, names } = exportStep(mlp.graph, { values: mlp.values });
  const inside = path.join(folder, "large");
  mkdirSync(inside);
  const file = path.join(inside, "step.onnx");
  assert.deepEqual(writeOnnx(model, file, `${file}.data`, "step.onnx.data", 1), ["", ".data"]);
  const read = openOnnx(file);
  for (const [name, { data }] of model.initializers)
    assert.equal(Buffer.compare(data, read.initializers.get(name)?.data ?? new Uint8Array(0)), 0, name);
  const inline = await sessionOrder(model, names, mlp.graph, mlp.values);
  const session = await openSession(file);
  const feeds = Object.fromEntries(
    names.inputs.map((name) => {
      const buffer = Uint8Array.from(mlp.values.get(name) as Uint8Array).buffer;
      return [name, new Tensor("float32", new Float32Array(buffer), [...tensorOf(mlp.graph, name).shape])];
    }),
  );
  assert.deepEqual(bytesOfTensor((await session.run(feeds))[names.loss]), inline.loss);
  await session.release();
});

const model = path.join(folder, "model.onnx");

writeFileSync(model, readFileSync(fixture("resnet_bottleneck_dynamic.onnx")));

const profiled = profileModel(model, {
  loss: "ce",
  optimizer: "adam",
  dims: { batch: 8 },
  budget: "85%",
  swap: false,
  iterations: 1,
  warmups: 0,
  threads: 1,
});

test("exportRun(run) writes the planned step, ready to run and ready to be fed", async () => {
  const run = await profiled;
  const file = path.join(folder, "planned.onnx");
  const { files, recomputed, names } = exportRun(run, file, { feedState: true });
  assert.deepEqual(files, [file, `${file}.safetensors`]);
  assert.equal(recomputed, run.plan?.decisions.length);
  assert.ok(recomputed > 0);
  const read = openOnnx(file);
  assert.ok(read.nodes.some(({ name }) => name.includes("@recompute")));
  assert.equal(read.metadata["mutwo.run"], run.id);
  const state = readSafetensors(`${file}.safetensors`);
  assert.deepEqual([...state.keys()].sort(), [...names.values.keys()].sort());
  const plain = exportRun(run, file, { unplanned: true });
  assert.deepEqual(plain.files, [file]);
  assert.equal(plain.recomputed, 0);
  assert.ok(openOnnx(file).nodes.every(({ name }) => !name.includes("@recompute")));
});

const refused: readonly (readonly [what: string, change: (run: Run) => Run, out: string, message: RegExp])[] = [
  [
    "a model that has changed",
    (run) => ({ ...run, model: { ...run.model, sha256: "0".repeat(64) } }),
    "refused.onnx",
    /^Error: the model has changed since the run: .*model\.onnx/,
  ],
  [
    "a missing model",
    (run) => ({ ...run, model: { ...run.model, path: "none.onnx" } }),
    "refused.onnx",
    /^Error: cannot read model: none\.onnx \(ENOENT\)$/,
  ],
  [
    "an infeasible plan",
    (run) => ({ ...run, plan: run.plan && { ...run.plan, feasible: false } }),
    "refused.onnx",
    /^Error: the run's plan does not fit its budget \(--unplanned/,
  ],
  [
    "a plan for a fused step",
    (run) => ({
      ...run,
      before: { ...run.before, backend: "cuda" },
      plan: run.plan && {
        ...run.plan,
        decisions: run.plan.decisions.map((one) => ({ ...one, activation: `${one.activation}:0` })),
      },
    }),
    "refused.onnx",
    /^Error: the plan is for a step fused for cuda, plain ONNX has no activation .* \(--unplanned/,
  ],
  ["a missing folder", (run) => run, "none/step.onnx", /^Error: output file not writable: .*step\.onnx \(ENOENT\)$/],
  ["a folder in its place", (run) => run, "taken.onnx", /^Error: output file not writable: .*taken\.onnx \(E\w+\)$/],
];

mkdirSync(path.join(folder, "taken.onnx"));

for (const [what, change, out, message] of refused)
  test(`exportRun(run) refuses ${what} in one line and leaves nothing behind`, async () => {
    const run = change(await profiled);
    const before = readdirSync(folder);
    assert.throws(() => exportRun(run, path.join(folder, out)), message);
    assert.deepEqual(readdirSync(folder), before);
  });

test("mutwo export RUN.json --out FILE prints what it wrote; wrong use is one line and exit status 2", async () => {
  const saved = path.join(folder, "run.json");
  writeFileSync(saved, JSON.stringify(await profiled));
  const mutwo = (...args: string[]) =>
    spawnSync(process.execPath, [...program, "export", ...args], { encoding: "utf8" });
  const file = path.join(folder, "cli.onnx");
  const good = mutwo(saved, "--out", file);
  assert.deepEqual([good.status, good.stdout, good.stderr], [0, `exported: ${file}\n`, ""]);
  const bad = mutwo(saved, "--out", file, "--model", fixture("mlp.ts.onnx"));
  assert.equal(bad.status, 2);
  assert.match(bad.stderr, /^mutwo: the model has changed since the run: .*\n$/);
});
