import type { Graph } from "../graph/graph.js";
import { shiftedName } from "../graph/names.js";
import { layout } from "../memory/layout.js";
import type { ExecutedGraph } from "../plan/executed.js";
import type { Rotation } from "../plan/multiplex/rotate.js";
import { loadWithValues } from "../runtime/load.js";
import type { LoadedStep, RunOptions, Runtime, StepResult } from "../runtime/runtime.js";

type Values = ReadonlyMap<string, Uint8Array>;

/** A step that is run again and again on the same batch; what it computes goes by the names of the joint step. */
export interface Stepping {
  /** Runs a step; `last`: no other comes after it. */
  run(options?: RunOptions & { readonly last?: boolean }): Promise<StepResult>;
  /** A state, or an output, as the last step has left it. */
  read(name: string): Uint8Array;
  close(): void;
}

/**
 * First values of a multiplexed step, from those of the joint step that it is made of: its prologue is run once, and leaves
 * what the step before the first one would have. The next step's batch is this one's.
 */
export async function steadyValues(
  rotation: Rotation,
  runtime: Runtime,
  values: Values,
): Promise<Map<string, Uint8Array>> {
  const { graph, prologue, carried, renewed } = rotation;
  const own = new Map(values);
  for (const [name, bytes] of values) {
    const next = shiftedName(name, "ahead");
    if (graph.inputs.includes(next)) own.set(next, bytes);
  }
  const { step } = loadWithValues(prologue, runtime, values);
  try {
    await step.run();
    for (const [name, state] of carried) own.set(state, step.read(name).slice());
    for (const name of renewed) own.set(name, step.read(name).slice());
    return own;
  } finally {
    step.close();
  }
}

/** Loads a step with its first values. */
export async function stepping(
  { graph, rotation }: ExecutedGraph,
  runtime: Runtime,
  values: Values,
  joint: Pick<Graph, "state"> = graph,
): Promise<Stepping> {
  if (!rotation) return loadWithValues(graph, runtime, values).step;
  const own = await steadyValues(rotation, runtime, values);
  return new Multiplexing(rotation, joint, runtime, own);
}

/** A multiplexed step as the joint step that it is made of. */
class Multiplexing implements Stepping {
  private step: LoadedStep;
  private runs = 0;
  /** What the first member's forward phase has renewed for the step that was run last. */
  private renewed = new Map<string, Uint8Array>();
  /** States that it renews, by their next values. */
  private readonly renews: ReadonlyMap<string, string>;

  constructor(
    private readonly rotation: Rotation,
    joint: Pick<Graph, "state">,
    private readonly runtime: Runtime,
    private readonly values: Values,
  ) {
    const renewed = new Set(rotation.renewed);
    this.renews = new Map(joint.state.flatMap(({ before, after }) => (renewed.has(before) ? [[after, before]] : [])));
    this.step = loadWithValues(rotation.graph, runtime, values).step;
  }

  async run({ last = false, observe, ...options }: RunOptions & { readonly last?: boolean } = {}): Promise<StepResult> {
    const { graph, epilogue, renewed } = this.rotation;
    // the next step's are made beside this one
    this.renewed = new Map(renewed.map((name) => [name, this.step.read(name).slice()]));
    if (last) this.finish();
    const { tensors } = last ? epilogue : graph;
    const seen = observe && new Set([...observe].filter((name) => tensors.has(name) && !this.renews.has(name)));
    const result = await this.step.run({ ...options, ...(seen && { observe: seen }) });
    this.runs++;
    const observed = new Map(result.observed);
    for (const name of observe ?? []) {
      const before = this.renews.get(name);
      if (before !== undefined) observed.set(name, this.renewed.get(before) as Uint8Array);
    }
    return { ...result, observed };
  }

  /** Goes on with the step that makes nothing for another one. */
  private finish(): void {
    const { graph, epilogue } = this.rotation;
    const values = new Map(this.values);
    for (const { before } of graph.state)
      if (epilogue.tensors.has(before)) values.set(before, this.step.read(before).slice());
    this.step.close();
    this.step = this.runtime.load(epilogue, layout(graph));
    // values of what is no state may change with it
    this.step.skipTo?.(this.runs);
    for (const [name, bytes] of values) if (epilogue.tensors.has(name)) this.step.write(name, bytes);
  }

  read(name: string): Uint8Array {
    return this.renewed.get(name) ?? this.step.read(name);
  }

  close(): void {
    this.step.close();
  }
}
