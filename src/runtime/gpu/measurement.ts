import type { Node } from "../../graph/graph.js";
import type { Prepared } from "../interpreter.js";
import { signatureOf } from "../kernel-key.js";
import { readLoss } from "../measure.js";
import type { Pointer } from "../ort-api.js";
import type { DeviceMemory, Measurement, MeasureOptions, RunOptions } from "../runtime.js";
import type { Compiler } from "./compiler.js";
import { copyTimes, nodeSamples, stampedSamples, stampSource } from "./measure.js";
import { eagerSteps, type GpuStep } from "./step.js";

type Times = readonly (readonly number[])[];

/** Measures a step: launched by the host, replayed, node by node, and copies of some sizes. */
export async function measureStep(step: GpuStep, options: MeasureOptions): Promise<Measurement> {
  const { gpu, stage, memory, layout } = step;
  const losses: (number | null)[] = [];
  const signal = options.signal ? { signal: options.signal } : {};
  const warmups = Math.max(options.warmups, eagerSteps);
  const total = warmups + 2 * options.iterations + 1;
  const finished = (): void => {
    losses.push(readLoss(step.graph, step.read));
    options.onProgress?.(losses.length, total);
  };
  const repeated = async (count: number, stepMs: () => Promise<number>): Promise<number[]> => {
    const samples: number[] = [];
    for (let i = 0; i < count; i++) {
      samples.push(await stepMs());
      finished();
    }
    return samples;
  };
  const eagerMs = async (): Promise<number> => (await step.eager(signal)).stepMs;
  await repeated(warmups, eagerMs);
  const loadedBytes = gpu.cuda.besideBytes();
  const eagerStep = await repeated(options.iterations, eagerMs);
  if (step.canCapture) step.replay(); // the first launch of a graph uploads it
  const replayed = await repeated(options.iterations, async () => (await step.run(signal)).stepMs);
  const capturedBytes = gpu.cuda.besideBytes();
  const nodes = gpu.compiler ? stampedTimes(step, gpu.compiler) : await repeatedTimes(step, signal);
  finished();
  const copies = copyTimes(stage, memory.arena, layout.arenaBytes, options.copyBytes);
  return {
    nodes,
    step: replayed,
    eagerStep,
    workspaceBytes: step.workspaceBytes,
    memory: heldBy(step, loadedBytes, capturedBytes),
    copies,
    losses,
  };
}

/** What the device holds, told apart; beside what mutwo allocated it were so many bytes after the first steps, and then captured. */
function heldBy({ gpu, lanes, layout }: GpuStep, loadedBytes: number, capturedBytes: number): DeviceMemory {
  const contextBytes = gpu.contextBytes();
  const parts = {
    valuesBytes: layout.arenaBytes,
    workspaceBytes: lanes.reduce((bytes, { workspace }) => bytes + workspace.heldBytes, 0),
    contextBytes,
    kernelsBytes: Math.max(0, loadedBytes - contextBytes),
    graphsBytes: Math.max(0, capturedBytes - Math.max(loadedBytes, contextBytes)),
  };
  const processBytes = gpu.cuda.processBytes();
  const named = Object.values(parts).reduce((sum, bytes) => sum + bytes, 0);
  return { ...parts, otherBytes: Math.max(0, processBytes - named), processBytes, hostBytes: layout.hostBytes };
}

/** Every node in its place in the captured step. */
function stampedTimes(step: GpuStep, compiler: Compiler): Times {
  compiler.compile([stampSource]);
  let place: Pointer = 0n;
  const stamp = compiler.kernel(stampSource).prepare(() => [place], step.gpu.stream);
  const samples = stampedSamples(
    step.stage,
    step.prepared.length,
    (work) => step.capture(work),
    (i, invoke) => step.launch(invoke, step.prepared[i] as Prepared),
    (at) => {
      step.turnTo(0);
      place = at;
      stamp();
    },
  );
  const times = step.graph.nodes.map((): readonly number[] => [0]);
  step.prepared.forEach(({ index }, i) => {
    times[index] = samples[i] as number[];
  });
  return times;
}

/** Each distinct node by repeats in a captured graph of its own: where there is no compiler. */
async function repeatedTimes(step: GpuStep, signal: Pick<RunOptions, "signal">): Promise<Times> {
  const { graph, stage, memory } = step;
  const samples = new Map<string, readonly number[]>();
  const times = graph.nodes.map((): readonly number[] => [0]);
  await step.eager(signal, (index, launch) => {
    const lane = step.laneOf(index);
    const call = (): void => {
      step.turnTo(lane);
      launch();
      step.turnTo(0);
    };
    step.turnTo(0);
    const key = signatureOf(graph.nodes[index] as Node, graph);
    if (!samples.has(key))
      step.during(index, () => void samples.set(key, nodeSamples(stage, graph, index, call, memory.address)));
    times[index] = samples.get(key) ?? [0];
    step.during(index, call);
  });
  return times;
}
