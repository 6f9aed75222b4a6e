import { type Graph, tensorOf } from "../src/graph/graph.js";
import { gradientName } from "../src/graph/names.js";
import { bytesOf, valuesOf } from "../src/graph/values.js";
import type { CpuRuntime } from "../src/runtime/cpu.js";
import { loadWithValues } from "../src/runtime/load.js";
import { initialValues } from "../src/step/initial.js";
import { lower } from "../src/step/lower.js";

/** What tensors held after each of some steps, as numbers. */
export async function runSteps(
  step: Graph,
  runtime: CpuRuntime,
  given: Readonly<Record<string, readonly number[]>>,
  observe: readonly string[],
  count = 1,
): Promise<Record<string, number[]>[]> {
  const lowered = lower(step, runtime.hasKernel);
  const values = initialValues(lowered, step, 0);
  for (const [name, list] of Object.entries(given)) values.set(name, bytesOf(tensorOf(lowered, name).dtype, list));
  const { step: loaded } = loadWithValues(lowered, runtime, values);
  try {
    const results: Record<string, number[]>[] = [];
    for (let i = 0; i < count; i++) {
      const { observed } = await loaded.run({ observe: new Set(observe) });
      results.push(
        Object.fromEntries(
          observe.map((name) => [
            name,
            valuesOf(tensorOf(lowered, name).dtype, observed.get(name) ?? loaded.read(name)),
          ]),
        ),
      );
    }
    return results;
  } finally {
    loaded.close();
  }
}

/** Runs two steps and gives the observed tensors of each; the arena must be as large as predicted. */
export async function twoSteps(
  runtime: CpuRuntime,
  graph: Graph,
  values: ReadonlyMap<string, Uint8Array>,
  observe: ReadonlySet<string>,
): Promise<ReadonlyMap<string, Uint8Array>[]> {
  const { step, arenaBytes } = loadWithValues(graph, runtime, values);
  try {
    if (step.allocatedBytes !== arenaBytes)
      throw new Error(`allocated ${step.allocatedBytes} bytes, predicted ${arenaBytes}`);
    return [(await step.run({ observe })).observed, (await step.run({ observe })).observed];
  } finally {
    step.close();
  }
}

/** Loss, gradients and next state of two steps from the same values. */
export async function outcome(cpu: CpuRuntime, graph: Graph): Promise<Map<string, Uint8Array>> {
  const gradients = [...graph.tensors.values()].filter((t) => t.category === "parameter" && t.within);
  const observe = new Set([
    graph.loss as string,
    ...gradients.map((t) => gradientName(t.name)),
    ...graph.state.map(({ after }) => after),
  ]);
  const { step } = loadWithValues(graph, cpu, initialValues(graph, graph, 0));
  try {
    await step.run({ observe });
    return new Map((await step.run({ observe })).observed);
  } finally {
    step.close();
  }
}

/** ‖a − b‖/‖b‖. */
export function relativeError(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) throw new Error(`lengths differ: ${a.length} and ${b.length}`);
  const norm = (list: readonly number[]): number => Math.sqrt(list.reduce((sum, value) => sum + value * value, 0));
  return norm(a.map((v, i) => v - (b[i] as number))) / Math.max(norm(b), Number.MIN_VALUE);
}
