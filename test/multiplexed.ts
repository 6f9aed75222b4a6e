import type { Graph } from "../src/graph/graph.js";
import { shiftedName } from "../src/graph/names.js";
import { layout } from "../src/memory/layout.js";
import type { Rotation } from "../src/plan/multiplex/rotate.js";
import type { CpuRuntime } from "../src/runtime/cpu.js";
import { loadWithValues } from "../src/runtime/load.js";
import type { LoadedStep } from "../src/runtime/runtime.js";

type Values = ReadonlyMap<string, Uint8Array>;

/** What a training leaves: the outputs of each step by `NAME in step N`, and all states at its end by their names. */
export type Trace = Map<string, Buffer>;

const write = (step: LoadedStep, graph: Graph, batch: Values, name: (own: string) => string = (own) => own): void => {
  for (const [own, bytes] of batch) if (graph.inputs.includes(name(own))) step.write(name(own), bytes);
};

const states = (graph: Graph, step: LoadedStep, trace: Trace): void => {
  for (const { before } of graph.state)
    if (!before.endsWith("@carried")) trace.set(before, Buffer.from(step.read(before)));
};

/** Runs a step on batch after batch. */
export async function trained(graph: Graph, runtime: CpuRuntime, values: Values, batches: readonly Values[]): Promise<Trace> {
  const { step } = loadWithValues(graph, runtime, values);
  const trace: Trace = new Map();
  try {
    for (const [i, batch] of batches.entries()) {
      write(step, graph, batch);
      await step.run();
      for (const name of graph.outputs) trace.set(`${name} in step ${i}`, Buffer.from(step.read(name)));
    }
    states(graph, step, trace);
    return trace;
  } finally {
    step.close();
  }
}

/** The same of a multiplexed step: the prologue on the first batch, steps that know the next batch, the epilogue. */
export async function trainedMultiplexed(
  { graph, prologue, epilogue, carried, renewed }: Rotation,
  runtime: CpuRuntime,
  values: Values,
  batches: readonly Values[],
): Promise<Trace> {
  const ahead = (name: string): string => shiftedName(name, "ahead");
  const places = layout(graph);
  const first = loadWithValues(prologue, runtime, values).step;
  const { step } = loadWithValues(graph, runtime, values, places);
  const last = loadWithValues(epilogue, runtime, values, places).step;
  const trace: Trace = new Map();
  try {
    write(first, prologue, batches[0] as Values);
    await first.run();
    for (const [own, name] of carried) step.write(name, first.read(own));
    for (const name of renewed) step.write(name, first.read(name));
    for (const [i, batch] of batches.slice(0, -1).entries()) {
      write(step, graph, batch);
      write(step, graph, batches[i + 1] as Values, ahead);
      await step.run();
      for (const name of graph.outputs) trace.set(`${name} in step ${i}`, Buffer.from(step.read(name)));
    }
    states(graph, step, trace); // running statistics are those of the last step already
    for (const { before } of graph.state) if (epilogue.tensors.has(before)) last.write(before, step.read(before));
    last.skipTo?.(batches.length - 1);
    write(last, epilogue, batches.at(-1) as Values);
    await last.run();
    for (const name of graph.outputs)
      trace.set(`${name} in step ${batches.length - 1}`, Buffer.from(last.read(name)));
    states(epilogue, last, trace);
    return trace;
  } finally {
    for (const one of [first, step, last]) one.close();
  }
}
