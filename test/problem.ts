import { type Graph, tensorBytes } from "../src/graph/graph.js";
import { activationRows } from "../src/memory/activation-rows.js";
import { readModel } from "../src/model/read.js";
import { callOf } from "../src/ops/call.js";
import { opOf } from "../src/ops/index.js";
import type { PlanProblem } from "../src/plan/plan.js";
import type { CpuRuntime } from "../src/runtime/cpu.js";
import { stepFor } from "../src/step/step.js";
import type { TrainingOptions } from "../src/step/training.js";

/** The training step of a model in test/fixtures as the CPU executes it. */
export function fixtureStep(
  runtime: CpuRuntime,
  file: string,
  options: TrainingOptions,
  dims: Readonly<Record<string, number>> = {},
): Graph {
  const { graph } = readModel(`test/fixtures/${file}`, { dims, runtime });
  return stepFor(runtime, graph, options, 0).baseline;
}

/** Times that follow from flops and bytes alone, so that plans in tests do not depend on the machine. */
export const modelledMs = (graph: Graph): number[] =>
  graph.nodes.map((node) => {
    const op = opOf(node);
    if (op.view) return 0;
    const outputs = node.outputs.flatMap((name) => graph.tensors.get(name) ?? []);
    const bytes = outputs.reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
    return 1e-3 + op.flops(callOf(node, graph.tensors), outputs) / 1e7 + bytes / 1e7;
  });

/** A residual network's step to plan, without a budget: 64 images, copies at 1 GB/s. */
export function resnetProblem(runtime: CpuRuntime): PlanProblem {
  const options = { loss: "ce", optimizer: "adam" };
  const graph = fixtureStep(runtime, "resnet_bottleneck_dynamic.onnx", options, { batch: 64 });
  const nodeMs = modelledMs(graph);
  const rows = activationRows(graph, nodeMs, { swapMs: (bytes) => bytes / 1e6, swapMeasured: false });
  return { graph, nodeMs, rows, budgetBytes: null };
}

/** The text of a step that is a chain: each of so many activations is made from the one before it, and read once on the way back. */
export function chainText(length: number): string {
  const forward = Array.from({ length }, (_, i) => `a${i} = ${i % 2 ? "Sin" : "Exp"}(${i ? `a${i - 1}` : "x"})`);
  const backward = forward.map((_, i) => `g${i} = Mul(${i + 1 < length ? `g${i + 1}` : `a${i}`}, a${i})`).reverse();
  return `graph chain(float32[4096] x) => (y) {\n${forward.join("\n")}\nbackward:\n${backward.join("\n")}\ny = Sin(g0)\n}`;
}
