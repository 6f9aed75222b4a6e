import assert from "node:assert/strict";
import type { Graph } from "../src/graph/graph.js";
import { shiftedName } from "../src/graph/names.js";
import { layout } from "../src/memory/layout.js";
import { readModel } from "../src/model/read.js";
import type { Rotation } from "../src/plan/multiplex/rotate.js";
import type { CpuRuntime } from "../src/runtime/cpu.js";
import { loadWithValues } from "../src/runtime/load.js";
import type { LoadedStep } from "../src/runtime/runtime.js";
import { initialValues } from "../src/step/initial.js";
import { stepFor } from "../src/step/step.js";
import { type Member, together } from "../src/step/together.js";
import type { TrainingOptions } from "../src/step/training.js";
import { at } from "./at.js";

type Values = ReadonlyMap<string, Uint8Array>;

/** What a training leaves: the outputs of each step by `NAME in step N`, and all states at its end by their names. */
type Trace = Map<string, Buffer>;

const write = (step: LoadedStep, graph: Graph, batch: Values, name: (own: string) => string = (own) => own): void => {
  for (const [own, bytes] of batch) if (graph.inputs.includes(name(own))) step.write(name(own), bytes);
};

const states = (graph: Graph, step: LoadedStep, trace: Trace): void => {
  for (const { before } of graph.state)
    if (!before.endsWith("@carried")) trace.set(before, Buffer.from(step.read(before)));
};

/** Runs a step on batch after batch. */
async function trained(graph: Graph, runtime: CpuRuntime, values: Values, batches: readonly Values[]): Promise<Trace> {
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
async function trainedMultiplexed(
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
    for (const name of graph.outputs) trace.set(`${name} in step ${batches.length - 1}`, Buffer.from(last.read(name)));
    states(epilogue, last, trace);
    return trace;
  } finally {
    for (const one of [first, step, last]) one.close();
  }
}

/** A model with its own step, its first values, and its batches. */
export interface Alone extends Member {
  readonly values: Values;
  readonly batches: readonly Values[];
}

const steps = 3;

/** A model of test/fixtures. */
export function alone(
  runtime: CpuRuntime,
  name: string,
  file: string,
  { batch, seed = 0, ...options }: TrainingOptions & { readonly batch?: number; readonly seed?: number },
): Alone {
  const dims: Record<string, number> = batch === undefined ? {} : { batch };
  const { graph: forward } = readModel(at(`fixtures/${file}`), { dims, runtime });
  const { step, baseline: graph } = stepFor(runtime, forward, options, seed);
  const batches = Array.from({ length: steps }, (_, i) => {
    const values = initialValues(graph, step, seed + 100 + i);
    return new Map(graph.inputs.map((input) => [input, values.get(input) as Uint8Array]));
  });
  return { name, graph, values: initialValues(graph, step, seed), batches };
}

/** The joint step of models, in turn. */
export const jointOf = (runtime: CpuRuntime, members: readonly Member[]): Graph => together(runtime, members);

/** Trains all models alone, in turn and multiplexed, and compares all losses and states, bit by bit. */
export async function assertAsAlone(runtime: CpuRuntime, members: readonly Alone[], rotation: Rotation): Promise<void> {
  const named = (of: (member: Alone) => Values): Values =>
    new Map(members.flatMap((one) => [...of(one)].map(([own, bytes]) => [`${one.name}/${own}`, bytes] as const)));
  const values = named((member) => member.values);
  const batches = Array.from({ length: steps }, (_, i) => named((member) => member.batches[i] as Values));
  const actual = await trainedMultiplexed(rotation, runtime, values, batches);
  let compared = 0;
  for (const { name, graph, ...own } of members)
    for (const [what, bytes] of await trained(graph, runtime, own.values, own.batches)) {
      assert.ok(actual.get(`${name}/${what}`)?.equals(bytes), `${name}/${what} is another`);
      compared++;
    }
  for (const [what, bytes] of await trained(jointOf(runtime, members), runtime, values, batches))
    assert.ok(actual.get(what)?.equals(bytes), `${what} is another`);
  assert.ok(compared > members.length * steps);
}
