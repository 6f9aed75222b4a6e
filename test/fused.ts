import { Builder } from "../src/build/build.js";
import { parseGraph } from "../src/build/parse.js";
import { type Graph, type Tensor, tensorOf } from "../src/graph/graph.js";
import { randomFrom } from "../src/graph/random.js";
import { bytesOf, valuesOf } from "../src/graph/values.js";
import type { CpuRuntime } from "../src/runtime/cpu.js";
import { loadWithValues } from "../src/runtime/load.js";
import type { LoadedStep } from "../src/runtime/runtime.js";
import { namesIn } from "../src/step/architecture.js";
import type { FusedMember } from "../src/step/fusable.js";
import { type FusedStep, type FusingOptions, fuseTrials } from "../src/step/fused-trials.js";
import { initialValues } from "../src/step/initial.js";
import { OverModels } from "../src/step/over-models.js";
import { stepFor } from "../src/step/step.js";

/** A loaded training step. */
export interface LoadedTrial {
  readonly graph: Graph;
  readonly step: LoadedStep;
}

/** Each member's step alone, and the one of all, loaded with the same values. */
export interface LoadedTrials {
  readonly alone: readonly LoadedTrial[];
  readonly fused: LoadedTrial;
  readonly sideBySide: FusedStep["sideBySide"];
  close(): void;
}

/** Weights of a file are the same for all members: each gets others, near them. */
function varied({ name, dtype, category }: Tensor, bytes: Uint8Array, seed: number): Uint8Array {
  if (category !== "parameter" || !/^float(32|64)$/.test(dtype)) return bytes;
  const random = randomFrom(seed + name.length);
  return bytesOf(
    dtype,
    valuesOf(dtype, bytes).map((value) => value * (0.9 + 0.2 * random())),
  );
}

/** Loads the step of each member and that of all of them fused; inputs and weights of each are its own. */
export function loadTrials(
  runtime: CpuRuntime,
  members: readonly FusedMember[],
  fusing: FusingOptions = {},
): LoadedTrials {
  const open: LoadedStep[] = [];
  const load = (graph: Graph, values: ReadonlyMap<string, Uint8Array>): LoadedTrial => {
    const { step } = loadWithValues(graph, runtime, values);
    open.push(step);
    return { graph, step };
  };
  const all = members.map(({ graph, options, seed }) => {
    const { step, baseline } = stepFor(runtime, graph, options, seed);
    const values = [...initialValues(baseline, step, seed)].map(
      ([name, bytes]) => [name, varied(tensorOf(baseline, name), bytes, seed)] as const,
    );
    return { baseline, values: new Map(values) };
  });
  const alone = all.map(({ baseline, values }) => load(baseline, values));
  const { step, baseline, sideBySide } = fuseTrials(runtime, members, fusing);
  const names = members.map(({ graph }) => namesIn((members[0] as FusedMember).graph, graph));
  const first = new Map<string, Uint8Array>();
  for (const [name, bytes] of initialValues(baseline, step, 0)) {
    const parts = all.map(({ values }, i) => values.get(names[i]?.get(name) ?? name));
    const own = parts.filter((part) => part !== undefined);
    const isState = tensorOf(baseline, name).category === "optimizer state";
    first.set(name, own.length === members.length && !isState ? new Uint8Array(Buffer.concat(own)) : bytes);
  }
  return {
    alone,
    fused: load(baseline, first),
    sideBySide,
    close: () => {
      for (const step of open) step.close();
    },
  };
}

/** The numbers of a tensor of a loaded step; of a fused one those of one of so many members. */
export function numbersOf({ graph, step }: LoadedTrial, name: string, index = 0, count = 1): number[] {
  const all = valuesOf(tensorOf(graph, name).dtype, step.read(name));
  const size = all.length / count;
  return all.slice(index * size, (index + 1) * size);
}

/** A perceptron of layers as wide as its input. */
export const perceptron = (batch: number, width: number, layers: number): Graph => {
  const parameters = Array.from(
    { length: layers },
    (_, i) => `parameter float32[${width},${width}] w${i}, parameter float32[${width}] b${i}`,
  );
  const nodes = Array.from({ length: layers }, (_, i) => {
    const made = i === layers - 1 ? "y" : `h${i}`;
    const product = `p${i} = Gemm(${i ? `r${i - 1}` : "x"}, w${i}, b${i})`;
    return i === layers - 1 ? product.replace(/^p\d+/, made) : `${product}\n r${i} = Relu(p${i})`;
  });
  return parseGraph(
    `graph mlp(float32[${batch},${width}] x, ${parameters.join(", ")}) => (y) {\n ${nodes.join("\n ")}\n}`,
  );
};

/** The nodes of three models at once, their tensors, and the shapes of what they make. */
export function overThree(text: string): Pick<Graph, "nodes" | "tensors"> & { readonly shapes: readonly string[] } {
  const part = parseGraph(text);
  const b = new Builder();
  new OverModels(b, ["m0", "m1", "m2"]).append([part, part, part]);
  return {
    nodes: b.nodes,
    tensors: b.tensors,
    shapes: b.nodes.map(({ op, outputs }) => `${op} [${b.type(outputs[0] as string).shape}]`),
  };
}
