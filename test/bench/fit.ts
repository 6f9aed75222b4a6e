import { readModel } from "../../src/model/read.js";
import { profileGraph } from "../../src/run/profile.js";
import { type DeviceSpec, readDeviceSpec } from "../../src/runtime/device-spec.js";
import { type Efficiencies, fittedEfficiencies, workKinds } from "../../src/runtime/efficiency.js";
import { estimatedCopyMs, estimatedMs, type Work, workOf } from "../../src/runtime/estimate-time.js";
import { openRuntime } from "../../src/runtime/open.js";
import { lowerFor } from "../../src/step/lower.js";
import { trainingStep } from "../../src/step/training.js";
import { at } from "../at.js";

/** What a recording says of one step: the work of each node beside its measured time. */
export interface RecordedStep {
  readonly name: string;
  readonly spec: DeviceSpec;
  readonly nodes: readonly { readonly work: Work; readonly ms: number }[];
  readonly copies: readonly { readonly bytes: number; readonly linkGBs: number; readonly ms: number }[];
}

/** The recorded steps of test/recordings: model, sizes, optimizer. */
const recordings: readonly (readonly [string, string, Readonly<Record<string, number>>, string])[] = [
  ["resnet50", "full/resnet50", { batch: 64 }, "adam:lr=1e-4"],
  ["bert_base", "full/bert_base", { batch: 32 }, "adam:lr=1e-4"],
  ["gpt2_small", "full/gpt2_small", { batch: 8 }, "adam:lr=1e-4"],
  ["resnet_bottleneck", "resnet_bottleneck_dynamic", { batch: 8 }, "sgd:lr=1e-2,momentum=0.9"],
  ["gpt2_tiny", "gpt2_tiny.dynamo", {}, "adam:lr=1e-3"],
];

/** Reads all recorded steps. */
export const recordedSteps = (): Promise<RecordedStep[]> =>
  Promise.all(
    recordings.map(async ([name, file, dims, optimizer]): Promise<RecordedStep> => {
      const runtime = openRuntime(`replay:${at("recordings", `${name}.recording`)}`);
      const { graph } = readModel(at("fixtures", `${file}.onnx`), { dims, runtime });
      const step = lowerFor(runtime, trainingStep(graph, { loss: "ce", optimizer }));
      const { nodes, copies } = await profileGraph(step, runtime, { values: new Map() });
      const spec = readDeviceSpec(runtime.device.name.includes("H200") ? "h200" : "h100");
      return {
        name,
        spec,
        nodes: step.nodes.flatMap((node, rank) => {
          const [work, ms] = [workOf(node, step, true), nodes[rank]?.time.medianMs ?? 0];
          return work && ms > 0 ? [{ work, ms }] : [];
        }),
        copies: (copies ?? []).flatMap(({ bytes, toHostMs, toDeviceMs }) => [
          { bytes, linkGBs: spec.toHostGBs, ms: toHostMs },
          { bytes, linkGBs: spec.toDeviceGBs, ms: toDeviceMs },
        ]),
      };
    }),
  );

/** How far an estimate of a recorded step is off: of its whole time, and of its nodes' times in the median. */
export function errorsOf({ nodes, spec }: RecordedStep, efficiencies: Efficiencies): { step: number; node: number } {
  const times = nodes.map(({ work, ms }) => ({ ms, estimate: estimatedMs(work, spec, efficiencies) }));
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const off = times.map(({ ms, estimate }) => Math.abs(estimate / ms - 1)).sort((a, z) => a - z);
  return {
    step: sum(times.map(({ estimate }) => estimate)) / sum(times.map(({ ms }) => ms)) - 1,
    node: off[Math.floor(off.length / 2)] ?? 0,
  };
}

/** One number of the efficiencies: where it stands, and what is assumed of it where no recording says. */
interface Parameter {
  readonly path: readonly string[];
  readonly prior: number;
}

const parameters: readonly Parameter[] = [
  ...workKinds.flatMap((kind): Parameter[] => [
    { path: [kind, "launches"], prior: 2 },
    // the others are bound by memory
    ...(fittedEfficiencies[kind].compute === 1 ? [] : [{ path: [kind, "compute"], prior: 0.35 }]),
    { path: [kind, "memory"], prior: 0.7 },
  ]),
  { path: ["unaligned"], prior: 0.5 },
  { path: ["link"], prior: 0.8 },
];

/** What keeps a number at its prior where next to nothing in the recordings depends on it. */
const hold = 0.01;

/** The efficiencies with these numbers. */
function withNumbers(numbers: readonly number[]): Efficiencies {
  const made = structuredClone(fittedEfficiencies) as unknown as Record<string, Record<string, number> | number>;
  parameters.forEach(({ path: [first = "", second] }, i) => {
    if (second === undefined) made[first] = numbers[i] as number;
    else (made[first] as Record<string, number>)[second] = numbers[i] as number;
  });
  return made as unknown as Efficiencies;
}

const priors = withNumbers(parameters.map(({ prior }) => prior));

/** Whether a node is too small to say which share of a peak it reaches: its launch takes longer than its work. */
const isShort = (work: Work, spec: DeviceSpec): boolean =>
  estimatedMs(work, spec, priors) < (2 * priors[work.kind].launches * spec.launchUs) / 1e3;

/**
 * Misfit of some steps' short nodes, or of their other nodes and copies: relative errors (as logarithms, so that twice
 * and half are as bad), each node counted by its share of the step's time and by its share of the step's nodes.
 */
function misfit(steps: readonly RecordedStep[], numbers: readonly number[], ofShort: boolean): number {
  const efficiencies = withNumbers(numbers);
  let sum = 0;
  for (const { nodes, copies, spec } of steps) {
    const total = nodes.reduce((all, { ms }) => all + ms, 0);
    for (const { work, ms } of nodes)
      if (isShort(work, spec) === ofShort)
        sum += (ms / total + 1 / nodes.length) * Math.abs(Math.log(estimatedMs(work, spec, efficiencies) / ms));
    if (ofShort) continue;
    for (const { bytes, linkGBs, ms } of copies)
      sum += Math.abs(Math.log(estimatedCopyMs(bytes, linkGBs, spec, efficiencies.link) / ms)) / copies.length;
  }
  return (
    sum + hold * parameters.reduce((all, { prior }, i) => all + Math.abs(Math.log((numbers[i] as number) / prior)), 0)
  );
}

/** Moves the launches or the shares to where the misfit is least: one after the other, in ever smaller steps. */
function descend(steps: readonly RecordedStep[], numbers: number[], launches: boolean): void {
  const own = [...parameters.keys()].filter((i) => (parameters[i]?.path[1] === "launches") === launches);
  let least = misfit(steps, numbers, launches);
  for (const factor of [1.5, 1.2, 1.1, 1.05, 1.02, 1.01])
    for (let better = true; better; ) {
      better = false;
      for (const i of own)
        for (const by of [factor, 1 / factor]) {
          const before = numbers[i] as number;
          numbers[i] = before * by;
          const now = misfit(steps, numbers, launches);
          if (now < least - 1e-6) [least, better] = [now, true];
          else numbers[i] = before;
        }
    }
}

/** The efficiencies with the least misfit on some steps. */
export function fit(steps: readonly RecordedStep[]): Efficiencies {
  const numbers = parameters.map(({ prior }) => prior);
  for (let round = 0; round < 2; round++) for (const launches of [true, false]) descend(steps, numbers, launches);
  return withNumbers(numbers.map((value) => Number(value.toPrecision(3))));
}
