import { existsSync } from "node:fs";
import type { Graph, Node, Tensor } from "../../src/graph/graph.js";
import { layout } from "../../src/memory/layout.js";
import { peakBytes } from "../../src/memory/liveness.js";
import { readModel } from "../../src/model/read.js";
import { planGraph } from "../../src/plan/planners/index.js";
import { profileGraph } from "../../src/run/profile.js";
import { samplesOf } from "../../src/run/samples.js";
import { type CpuRuntime, openCpu } from "../../src/runtime/cpu.js";
import { initialValues } from "../../src/step/initial.js";
import { lower } from "../../src/step/lower.js";
import { trainingStep } from "../../src/step/training.js";

// What a claim of speed rests on; every figure is a JSON line. `npm run bench [MODEL.onnx …]` adds models of your own.

const print = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

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

async function interpreter(runtime: CpuRuntime): Promise<void> {
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
  const [kernel, total] = [samplesOf(bare).medianMs, samplesOf(whole).medianMs];
  print({
    bench: "interpreter: host time a node, median of 21 runs of 5000 nodes",
    kernelCallMicroseconds: kernel,
    stepMicroseconds: total,
    beyondTheKernelCallMicroseconds: total - kernel,
    mustBeAtMost: 3,
  });
}

async function model(runtime: CpuRuntime, file: string, dims: Record<string, number>): Promise<void> {
  const times: Record<string, number> = {};
  const timed = <T>(what: string, work: () => T): T => {
    const began = performance.now();
    const result = work();
    times[what] = Math.round(performance.now() - began);
    return result;
  };
  const { graph } = timed("readMs", () => readModel(file, { dims, runtime }));
  const step = timed("trainingStepMs", () => trainingStep(graph, { loss: "ce", optimizer: "sgd" }));
  const lowered = timed("lowerMs", () => lower(step, (node, tensors) => runtime.hasKernel(node, tensors)));
  const { arenaBytes } = timed("layoutMs", () => layout(lowered));
  const before = await profileGraph(lowered, runtime, {
    values: initialValues(lowered, step, 0),
    iterations: 3,
    warmups: 1,
  });
  const nodeMs = before.nodes.map((row) => row.time.medianMs);
  for (const share of [0.9, 0.8, 0.7]) {
    const began = performance.now();
    const plan = planGraph({
      graph: lowered,
      nodeMs,
      rows: before.activations,
      budgetBytes: Math.floor(arenaBytes * share),
      planner: "mutwo",
    });
    print({
      bench: "plan",
      file,
      dims,
      budget: share,
      feasible: plan.feasible,
      peak: plan.peakBytes / arenaBytes,
      addedTime: plan.addedMs / before.step.medianMs,
      leastReachable: plan.minimumPeakBytes / arenaBytes,
      planningMs: Math.round(performance.now() - began),
    });
  }
  print({
    bench: "build and step",
    file,
    dims,
    nodes: lowered.nodes.length,
    ...times,
    layoutWaste: arenaBytes / peakBytes(lowered) - 1,
    stepMs: before.step.medianMs,
    sumOfNodesOverStep: before.nodesMs / before.step.medianMs,
  });
}

async function main(): Promise<void> {
  const runtime = openCpu();
  await interpreter(runtime);
  await model(runtime, "test/fixtures/resnet_bottleneck_dynamic.onnx", { batch: 64 });
  await model(runtime, "test/fixtures/resnet18.onnx", { batch: 8 });
  for (const file of process.argv.slice(2).filter(existsSync)) await model(runtime, file, { batch: 2 });
  runtime.close();
}

void main();
