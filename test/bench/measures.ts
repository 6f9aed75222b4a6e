import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Graph, Node, Tensor } from "../../src/graph/graph.js";
import { layout } from "../../src/memory/layout.js";
import { peakBytes } from "../../src/memory/liveness.js";
import { encodeModel, type ProtoNode, type ProtoTensor, type ProtoValue } from "../../src/model/onnx-proto.js";
import { readModel } from "../../src/model/read.js";
import { startBound } from "../../src/plan/bound.js";
import { budgetBytesOf } from "../../src/plan/budget.js";
import { planGraph } from "../../src/plan/planners/index.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { type Profile, profileGraph } from "../../src/run/profile.js";
import { type CpuRuntime, openCpu } from "../../src/runtime/cpu.js";
import { fittedEfficiencies } from "../../src/runtime/efficiency.js";
import { openRuntime } from "../../src/runtime/open.js";
import { initialValues } from "../../src/step/initial.js";
import { lowerFor } from "../../src/step/lower.js";
import { trainingStep } from "../../src/step/training.js";
import { at } from "../at.js";
import { besideTorch } from "./beside.js";
import { errorsOf, fit, recordedSteps } from "./fit.js";
import { fusedPerceptrons } from "./fused.js";
import { type Figure, figureOf, type Tell } from "./history.js";
import { toys } from "./toys.js";
import { trainer } from "./trainer.js";

/** Times some work once to warm up, then five times, and on for a second if that was quick. Returns the last result. */
function timed<T>(tell: Tell, name: string, work: () => T): T {
  let result = work();
  const times: number[] = [];
  const start = performance.now();
  while (times.length < 5 || (times.length < 25 && performance.now() - start < 1000)) {
    const began = performance.now();
    result = work();
    times.push(performance.now() - began);
  }
  tell(`${name}, ms`, figureOf(times));
  return result;
}

/** How long `mutwo --help` takes, as it is built in dist/. */
export function help(tell: Tell): void {
  timed(tell, "mutwo --help", () => {
    const { status } = spawnSync(process.execPath, [at("../dist/cli.js"), "--help"]);
    if (status !== 0) throw new Error(`mutwo --help ends with ${status}`);
  });
}

/** A chain of tiny nodes: what a step costs beyond its kernels. */
function chain(length: number): Graph {
  const tensors = new Map<string, Tensor>();
  const add = (name: string, category: Tensor["category"]): void =>
    void tensors.set(name, { name, dtype: "float32", shape: [4], category });
  add("x0", "input");
  const nodes = Array.from({ length }, (_, i): Node => {
    add(`x${i + 1}`, "activation");
    return {
      name: `n${i}`,
      domain: "",
      op: "Relu",
      inputs: [`x${i}`],
      outputs: [`x${i + 1}`],
      attributes: {},
      phase: "forward",
    };
  });
  return { name: "chain", nodes, tensors, inputs: ["x0"], outputs: [`x${length}`], state: [] };
}

/** Host time of a node of the interpreter, over 5000 nodes: what it costs beyond the kernel call must be at most 3 µs. */
export async function interpreter(tell: Tell, runtime: CpuRuntime): Promise<void> {
  const graph = chain(5000);
  const step = runtime.load(graph, layout(graph));
  const bare: number[] = [];
  const whole: number[] = [];
  for (let i = 0; i < 21; i++) {
    const began = performance.now();
    step.runNow();
    bare.push(((performance.now() - began) * 1000) / graph.nodes.length);
    whole.push(((await step.run()).stepMs * 1000) / graph.nodes.length);
  }
  step.close();
  tell("interpreter: a kernel call, µs", figureOf(bare));
  tell("interpreter: beyond the kernel call, µs", figureOf(whole.map((us, i) => us - (bare[i] as number))));
}

/** A model to measure. */
export interface Subject {
  readonly file: string;
  readonly dims: Readonly<Record<string, number>>;
}

const nameOf = ({ file }: Subject): string => path.basename(file, ".onnx");

/** From the file to the lowered step and its layout, each part timed. */
export function building(tell: Tell, runtime: CpuRuntime, subject: Subject): void {
  const name = nameOf(subject);
  const { graph } = timed(tell, `${name}: read`, () => readModel(subject.file, { dims: subject.dims, runtime }));
  const step = timed(tell, `${name}: training step`, () => trainingStep(graph, { loss: "ce", optimizer: "adam" }));
  const lowered = timed(tell, `${name}: lower`, () => lowerFor(runtime, step));
  const { arenaBytes } = timed(tell, `${name}: layout`, () => layout(lowered));
  tell(`${name}: layout beyond the peak, %`, figureOf([100 * (arenaBytes / peakBytes(lowered) - 1)]));
}

/** Nodes of the long model. */
const longNodes = 20_000;

/** A model of so many nodes in a row: products, sums and activations, a weight and a bias for each four of them. */
function longModel(length: number): Uint8Array {
  const width = 4;
  const node: ProtoNode[] = [];
  const initializer: ProtoTensor[] = [];
  const add = (opType: string, input: string[]): string => {
    node.push({ opType, input, output: [`t${node.length}`], name: `/layers.${node.length >> 2}/${opType}` });
    return `t${node.length - 1}`;
  };
  const weight = (dims: number[]): string => {
    const name = `w${initializer.length}`;
    const values = Float32Array.from({ length: dims.reduce((a, z) => a * z, 1) }, (_, i) => Math.sin(i) / width);
    initializer.push({ name, dims, dataType: 1, rawData: new Uint8Array(values.buffer) });
    return name;
  };
  let x = "x";
  while (node.length < length) {
    const product = add("MatMul", [x, weight([width, width])]);
    x = add("Add", [add("Tanh", [add("Add", [product, weight([width])])]), x]);
  }
  const value = (name: string): ProtoValue => ({
    name,
    type: { tensorType: { elemType: 1, shape: { dim: [{ dimValue: 2 }, { dimValue: width }] } } },
  });
  const graph = { name: "long", node, initializer, input: [value("x")], output: [value(x)] };
  return encodeModel({ irVersion: 8, opsetImport: [{ domain: "", version: 18 }], graph });
}

/** Module of a process that says on its third stream how long it has computed, in all its threads, s. */
const tellsCpu = `data:text/javascript,${encodeURIComponent(
  "import { writeSync } from 'node:fs'; process.on('exit', () => { const { user, system } = process.cpuUsage(); writeSync(3, String((user + system) / 1e6)); });",
)}`;

/** Runs a command as it is built in dist/: how long it takes by the clock, and of all processors, s. Throws if it fails. */
function timesOf(words: readonly string[]): { seconds: number; cpuSeconds: number } {
  const began = performance.now();
  const { status, output } = spawnSync(process.execPath, ["--import", tellsCpu, at("../dist/cli.js"), ...words], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`mutwo ${words[0]} ends with ${status}`);
  return { seconds: (performance.now() - began) / 1000, cpuSeconds: Number(output[3]) };
}

/**
 * Time of whole commands over models of 5 000 and 20 000 nodes, files written: it must be at most 6 s, and grow as the
 * model does, which is four times. What they compute is told beside the clock, which a busy machine holds up.
 */
export function long(tell: Tell): void {
  const folder = mkdtempSync(path.join(tmpdir(), "mutwo-bench-"));
  const computed = new Map<string, number>();
  try {
    for (const nodes of [longNodes / 4, longNodes]) {
      const file = path.join(folder, `long${nodes}.onnx`);
      writeFileSync(file, longModel(nodes));
      const step = ["--loss", "mse", "--optimizer", "sgd", "--no-pictures", "--out", folder];
      for (const [what, words] of [
        ["inspect", ["inspect", file]],
        ["profile", ["profile", file, ...step]],
        ["profile, estimated", ["profile", file, ...step, "--backend", "estimate", "--device-spec", "h100"]],
      ] as const) {
        const runs = Array.from({ length: 3 }, () => timesOf(words));
        const cpu = figureOf(runs.map(({ cpuSeconds }) => cpuSeconds));
        tell(`${nodes} nodes in a row: ${what}, s`, figureOf(runs.map(({ seconds }) => seconds)));
        tell(`${nodes} nodes in a row: ${what}, s of processors`, cpu);
        const shorter = computed.get(what);
        if (shorter !== undefined)
          tell(`${what}: so many times as much for four times the nodes`, figureOf([cpu.median / shorter]));
        computed.set(what, cpu.median);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Plans a profiled step with mutwo's own planner for a share of its peak. */
function planning(tell: Tell, name: string, graph: Graph, before: Profile, share: string): void {
  const plan = timed(tell, `${name}: plan for ${share}`, () =>
    planGraph({
      graph,
      nodeMs: before.nodes.map((row) => row.time.medianMs),
      rows: before.activations,
      budgetBytes: budgetBytesOf(share, before.arenaBytes),
      planner: "mutwo",
    }),
  );
  const added = (100 * plan.addedMs) / before.step.medianMs;
  tell(`${name}: time that the plan for ${share} adds, %`, figureOf([added]));
  tell(`${name}: least reachable peak, %`, figureOf([(100 * plan.minimumPeakBytes) / before.arenaBytes]));
}

/** Plans of each planner and budget whose layouts are measured. */
const layoutPlans: readonly (readonly [planner: string, share?: string])[] = [
  ["recomputeAll"],
  ["swapAll"],
  ...["90%", "80%", "70%", "60%", "50%", "40%"].map((share) => ["mutwo", share] as const),
];

/** What the layouts of a profiled step's plans waste beyond the timeline's peak, and how long they take. */
function layouts(tell: Tell, name: string, graph: Graph, before: Profile): void {
  const waste: number[] = [];
  const times: number[] = [];
  for (const [planner, share] of layoutPlans) {
    const { decisions } = planGraph({
      graph,
      nodeMs: before.nodes.map((row) => row.time.medianMs),
      rows: before.activations,
      budgetBytes: share === undefined ? null : budgetBytesOf(share, before.arenaBytes),
      planner,
    });
    const planned = rewrite(graph, decisions);
    const began = performance.now();
    const { arenaBytes } = layout(planned);
    times.push(performance.now() - began);
    waste.push(100 * (arenaBytes / peakBytes(planned) - 1));
  }
  tell(`${name}: layout time over plans, ms`, figureOf(times));
  tell(`${name}: layout waste over plans, %`, figureOf(waste));
  tell(`${name}: worst layout waste, %`, figureOf([Math.max(...waste)]));
}

/** What is proven for some budgets, how long that takes, and what planner `optimal` finds. */
function bounding(tell: Tell, name: string, graph: Graph, before: Profile, shares: readonly string[]): void {
  const problem = { graph, nodeMs: before.nodes.map((row) => row.time.medianMs), rows: before.activations };
  for (const share of shares) {
    const given = { ...problem, budgetBytes: budgetBytesOf(share, before.arenaBytes) };
    const began = performance.now();
    const bound = startBound(given, { timeLimitMs: 60_000 }).collect(70_000);
    tell(`${name}: bound for ${share}, s`, figureOf([(performance.now() - began) / 1000]));
    const plan = planGraph({ ...given, planner: "optimal" });
    const percent = (ms: number): Figure => figureOf([(100 * ms) / before.step.medianMs]);
    if (bound) tell(`${name}: time that any plan for ${share} adds at least, %`, percent(bound.addedMs));
    tell(`${name}: time that the optimal plan for ${share} adds, %`, percent(plan.addedMs));
  }
}

/** Planning the step of a GPU from its recording. */
export async function planningRecorded(
  tell: Tell,
  subject: Subject,
  recording: string,
  shares: readonly string[],
): Promise<void> {
  const runtime = openRuntime(`replay:${recording}`);
  const { graph } = readModel(subject.file, { dims: subject.dims, runtime });
  const step = lowerFor(runtime, trainingStep(graph, { loss: "ce", optimizer: "adam:lr=1e-4" }));
  const before = await profileGraph(step, runtime, { values: new Map() });
  planning(tell, `${nameOf(subject)}, recorded`, step, before, "75%");
  layouts(tell, `${nameOf(subject)}, recorded`, step, before);
  bounding(tell, `${nameOf(subject)}, recorded`, step, before, shares);
  runtime.close();
}

/** Running and planning a step on this CPU. */
export async function running(tell: Tell, runtime: CpuRuntime, subject: Subject): Promise<void> {
  const name = nameOf(subject);
  const { graph } = readModel(subject.file, { dims: subject.dims, runtime });
  const step = trainingStep(graph, { loss: "ce", optimizer: "sgd" });
  const lowered = lowerFor(runtime, step);
  const values = initialValues(lowered, step, 0);
  const before = await profileGraph(lowered, runtime, { values, iterations: 5, warmups: 1 });
  tell(`${name}: step, ms`, figureOf(before.step.samplesMs));
  tell(`${name}: sum of nodes over step`, figureOf([before.nodesMs / before.step.medianMs]));
  planning(tell, name, lowered, before, "80%");
}

/**
 * How far estimates of the recorded steps are off: with the efficiencies that mutwo has, and with those that are fitted
 * to the other recordings alone.
 */
async function estimating(tell: Tell): Promise<void> {
  const steps = await recordedSteps();
  for (const one of steps) {
    const { name } = one;
    const others = steps.filter((other) => other !== one);
    for (const [how, efficiencies] of [
      ["estimated", fittedEfficiencies],
      ["estimated without it", fit(others)],
    ] as const) {
      const { step, node } = errorsOf(one, efficiencies);
      tell(`${name}: step ${how}, off by %`, figureOf([100 * step]));
      tell(`${name}: nodes ${how}, off by % in the median`, figureOf([100 * node]));
    }
  }
}

/** Everything, in the order in which it is told; `more` are models of the user's own. */
export async function measure(tell: Tell, more: readonly string[]): Promise<void> {
  const fixture = (name: string, batch: number): Subject => ({
    file: at("fixtures", `${name}.onnx`),
    dims: { batch },
  });
  const runtime = openCpu();
  help(tell);
  long(tell);
  await interpreter(tell, runtime);
  await trainer(tell);
  for (const [name, batch] of [
    ["resnet50", 64],
    ["gpt2_small", 8],
  ] as const)
    building(tell, runtime, fixture(`full/${name}`, batch));
  for (const [name, batch, shares] of [
    ["resnet50", 64, ["64%", "50%", "40%", "30%"]],
    ["bert_base", 32, ["68.7%", "60%", "55%"]],
    ["gpt2_small", 8, ["62.2%", "50%", "45%"]],
  ] as const)
    await planningRecorded(tell, fixture(`full/${name}`, batch), at("recordings", `${name}.recording`), shares);
  toys(tell);
  await estimating(tell);
  for (const [name, batch] of [
    ["resnet_bottleneck_dynamic", 64],
    ["resnet18", 8],
  ] as const)
    await running(tell, runtime, fixture(name, batch));
  await fusedPerceptrons(tell);
  await besideTorch(tell);
  for (const file of more) {
    building(tell, runtime, { file, dims: { batch: 2 } });
    await running(tell, runtime, { file, dims: { batch: 2 } });
  }
  runtime.close();
}
