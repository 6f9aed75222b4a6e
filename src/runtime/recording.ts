import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { readCompressed, UnreadableFile } from "../files.js";
import { NodeError } from "../graph/errors.js";
import type { Graph, Node } from "../graph/graph.js";
import { originalName } from "../graph/names.js";
import { opOf } from "../ops/index.js";
import { own } from "../own.js";
import {
  count,
  exactly,
  flag,
  list,
  number,
  object,
  problemIn,
  quantity,
  record,
  type Same,
  shown,
  text,
  v,
} from "../schema.js";
import type { LayoutGains } from "../step/layout-regions.js";
import { signatureOf } from "./kernel-key.js";
import type { CopyTime, Device, DeviceMemory, LoadedStep, Measurement, Runtime } from "./runtime.js";
import { copy, device, memory } from "./runtime-schema.js";

/** Version of recordings; a file of another version is refused. */
const recordingVersion = 1;

/** One graph that was measured as a whole. */
interface RecordedStep {
  /** Median time of each node in schedule order, ms. */
  readonly nodeMs: readonly number[];
  readonly workspaceBytes: readonly number[] | null;
  readonly step: readonly number[];
  readonly eagerStep: readonly number[] | null;
  readonly memory: DeviceMemory | null;
  readonly losses: readonly (number | null)[];
}

/** What was measured on a device, so that it can be asked again without one. */
export interface Recording {
  readonly format: "mutwo-recording";
  readonly version: typeof recordingVersion;
  /** Which runtime it was: cpu or cuda. */
  readonly backend: string;
  readonly device: Device;
  readonly fuses: boolean;
  /** What convolutions gain there with channels last; absent: nothing, as in recordings of older versions. */
  readonly layoutGains?: LayoutGains;
  /** Channels of a block of the CPU's convolutions (`Target.channelBlock`); absent where there are none. */
  readonly channelBlock?: number;
  /** Hashes of the signatures of nodes that the device had a kernel for. */
  readonly kernels: readonly string[];
  /** Median time, ms, and workspace, bytes, of each distinct node, by the hash of its signature. */
  readonly nodes: Readonly<Record<string, readonly [ms: number, workspaceBytes: number]>>;
  readonly copies: readonly CopyTime[] | null;
  /** Whole graphs by the hash of their schedule. */
  readonly steps: Readonly<Record<string, RecordedStep>>;
  /** What was profiled: recordings of older versions do not say. */
  readonly setting?: RecordedSetting;
}

/** The step that a recording is of. */
export interface RecordedSetting {
  /** The model file's path, as it was given. */
  readonly model: string;
  /** The options that decide what the step is. */
  readonly options: Readonly<Record<string, unknown>>;
}

const times = list(quantity);
/** Of a step that was run once at least. */
const measured = v.pipe(times, v.minLength(1, "a list of measured times"));

const recordingSchema = object({
  format: exactly("mutwo-recording"),
  version: exactly(recordingVersion),
  backend: text,
  device,
  fuses: flag,
  layoutGains: v.optional(
    object({
      dense: record(number),
      matrices: record(number),
      grouped: record(number),
      depthwise: record(number),
      sums: record(number),
    }),
  ),
  channelBlock: v.optional(count),
  kernels: list(text),
  nodes: record(v.strictTuple([quantity, count], "a time and bytes")),
  copies: v.nullable(list(copy)),
  steps: record(
    object({
      nodeMs: times,
      workspaceBytes: v.nullable(list(count)),
      step: measured,
      eagerStep: v.nullable(measured),
      memory: v.nullable(memory),
      losses: list(v.nullable(number)),
    }),
  ),
  setting: v.optional(object({ model: text, options: record(v.unknown()) })),
});

// the type and the schema say the same, or this does not compile
true satisfies Same<v.InferOutput<typeof recordingSchema>, Recording>;

const hash = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 16);

const keyOf = (node: Node, graph: Pick<Graph, "tensors">): string => hash(signatureOf(node, graph));

const scheduleOf = (graph: Graph): string => hash(graph.nodes.map((node) => keyOf(node, graph)).join());

/** Six significant digits: more was not measured. */
const rounded = (value: number): number => Number(value.toPrecision(6));

const median = (values: readonly number[]): number =>
  [...values].sort((a, z) => a - z)[Math.floor(values.length / 2)] ?? 0;

/** A runtime that does what another one does and keeps what was measured. */
export function recordingRuntime(
  runtime: Runtime,
  setting: RecordedSetting,
): { runtime: Runtime; recording(): Recording } {
  const kernels = new Set<string>();
  const samples = new Map<string, { ms: number[]; workspaceBytes: number }>();
  const steps: Record<string, RecordedStep> = {};
  let copies: readonly CopyTime[] | null = null;
  const keep = (graph: Graph, measured: Measurement): void => {
    const nodeMs = measured.nodes.map((times) => rounded(median(times)));
    graph.nodes.forEach((node, rank) => {
      const key = keyOf(node, graph);
      const known = samples.get(key) ?? { ms: [], workspaceBytes: 0 };
      known.ms.push(nodeMs[rank] as number);
      known.workspaceBytes = Math.max(known.workspaceBytes, measured.workspaceBytes?.[rank] ?? 0);
      samples.set(key, known);
    });
    copies = measured.copies ?? copies;
    steps[scheduleOf(graph)] = {
      nodeMs,
      workspaceBytes: measured.workspaceBytes,
      step: measured.step.map(rounded),
      eagerStep: measured.eagerStep?.map(rounded) ?? null,
      memory: measured.memory,
      losses: measured.losses,
    };
  };
  return {
    runtime: {
      ...runtime,
      hasKernel(node, graph) {
        const found = runtime.hasKernel(node, graph);
        if (found) kernels.add(keyOf(node, graph));
        return found;
      },
      load(graph, layout) {
        const step = runtime.load(graph, layout);
        return {
          ...step,
          async measure(options) {
            const measured = await step.measure(options);
            keep(graph, measured);
            return measured;
          },
        };
      },
    },
    recording: () => ({
      format: "mutwo-recording",
      version: recordingVersion,
      backend: runtime.backend,
      device: runtime.device,
      fuses: runtime.fuses ?? false,
      ...(runtime.layoutGains && { layoutGains: runtime.layoutGains }),
      ...(runtime.channelBlock !== undefined && { channelBlock: runtime.channelBlock }),
      kernels: [...kernels],
      nodes: Object.fromEntries(
        [...samples].map(([key, { ms, workspaceBytes }]) => [key, [median(ms), workspaceBytes]]),
      ),
      copies,
      steps,
      setting,
    }),
  };
}

/** A recording as the bytes of a file: JSON, compressed. */
export const encodeRecording = (recording: Recording): Uint8Array => gzipSync(JSON.stringify(recording), { level: 9 });

/** Reads a recording. Throws one line: no such file, not a recording, truncated, another version. */
export function readRecording(file: string): Recording {
  let recording: Recording;
  try {
    recording = JSON.parse(readCompressed("recording", file).toString()) as Recording;
  } catch (error) {
    if (error instanceof UnreadableFile) throw error;
    throw new Error(`not a recording, or truncated: ${file}`, { cause: error });
  }
  if (recording?.format !== "mutwo-recording") throw new Error(`not a recording: ${file}`);
  if (recording.version !== recordingVersion)
    throw new Error(`recording has version ${shown(recording.version)}, this mutwo reads ${recordingVersion}: ${file}`);
  const problem = problemIn(recordingSchema, recording);
  if (problem !== undefined) throw new Error(`recording is damaged: ${problem} (${file})`);
  return recording;
}

/**
 * A runtime that answers from a recording, without a device. Graphs that were measured as a whole have their step times;
 * of others the nodes' times are known, and the step is simulated as their sum. It cannot compute: `run` throws.
 */
export function openReplay(recording: Recording): Runtime {
  const kernels = new Set(recording.kernels);
  return {
    backend: "replay",
    device: recording.device,
    fuses: recording.fuses,
    ...(recording.layoutGains && { layoutGains: recording.layoutGains }),
    ...(recording.channelBlock !== undefined && { channelBlock: recording.channelBlock }),
    hasKernel: (node, graph) => kernels.has(keyOf(node, graph)),
    load: (graph): LoadedStep => {
      const refuse = (): never => {
        throw new Error(`a recording cannot compute: ${graph.name}`);
      };
      return {
        allocatedBytes: 0,
        write: () => {},
        read: refuse,
        run: async () => refuse(),
        measure: async () => replayed(recording, graph),
        close: () => {},
      };
    },
    close: () => {},
  };
}

function replayed(recording: Recording, graph: Graph): Measurement {
  const whole = own(recording.steps, scheduleOf(graph));
  const { copies } = recording;
  if (whole) {
    for (const name of ["nodeMs", "workspaceBytes"] as const)
      if (whole[name] && whole[name].length !== graph.nodes.length)
        throw new Error(`recording is damaged: ${name} of ${whole[name].length} nodes for ${graph.nodes.length}`);
    const { nodeMs, workspaceBytes, step, eagerStep, memory, losses } = whole;
    return { nodes: nodeMs.map((ms) => [ms]), step, eagerStep, workspaceBytes, memory, copies, losses };
  }
  const original = new Map(graph.nodes.map((node) => [node.name, node]));
  const found = graph.nodes.map((node): readonly [number, number] => {
    // copies of a swap take no time of the stream that computes
    const known = opOf(node).swap ? ([0, 0] as const) : undefined;
    // a copy of batch norm leaves out the running statistics: it takes as long as the node itself
    const first = original.get(originalName(node.name)) ?? node;
    const recorded = known ?? own(recording.nodes, keyOf(node, graph)) ?? own(recording.nodes, keyOf(first, graph));
    if (!recorded) throw new NodeError(`not in the recording: ${node.op} of this size`, node);
    return recorded;
  });
  return {
    nodes: found.map(([ms]) => [ms]),
    step: [found.reduce((sum, [ms]) => sum + ms, 0)],
    simulated: true,
    eagerStep: null,
    workspaceBytes: found.map(([, bytes]) => bytes),
    memory: null,
    copies,
    losses: [],
  };
}
