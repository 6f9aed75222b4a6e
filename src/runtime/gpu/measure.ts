import { type Graph, tensorBytes, tensorOf } from "../../graph/graph.js";
import { opOf } from "../../ops/index.js";
import type { Invoke } from "../ort.js";
import type { Pointer } from "../ort-api.js";
import type { CopyTime } from "../runtime.js";
import { type Cuda, onDevice, toDevice, toHost } from "./cuda.js";
import type { LaneStreams } from "./lane-streams.js";
import type { KernelSource } from "./source/kernel.js";

/** How often a node is repeated in the captured graph that times it: until this much time, at most so often. */
const repeatedMs = 0.4;

const mostRepeats = 20;

/** Replays of that graph: the samples. */
const replays = 5;

/** Copies larger than this are extrapolated: pinned memory takes long to get. */
const largestCopyBytes = 256 * 2 ** 20;

/** Copies each way before any is timed: for so many ms, at most so many. */
const [warmLinkMs, mostWarmCopies] = [30, 40];

/** Where work is timed. */
export interface Stage {
  readonly cuda: Cuda;
  readonly stream: Pointer;
  /** Two timed events. */
  readonly events: readonly [Pointer, Pointer];
}

/** Time of `work` in the stream, ms; waits for it. */
export function timed({ cuda, stream, events: [start, end] }: Stage, work: () => void): number {
  cuda.record(start, stream);
  work();
  cuda.record(end, stream);
  return cuda.elapsedMs(start, end);
}

/** How often short work is repeated in the captured graph that times it in brief: until this much time, at most so often. */
const briefRepeatedMs = 0.3;

const briefRepeats = 10;

/**
 * Time of `work` in the stream after a first run, ms, by one launch of it or two of a captured graph of its repeats: launch
 * gaps are outside where they matter. It is rough where it is much more than `best`.
 */
export function briefMs(stage: Stage, work: () => void, best: number): number {
  const { cuda, stream } = stage;
  work();
  cuda.wait(stream);
  const once = timed(stage, work);
  if (once > Math.max(3 * best, 2 * briefRepeatedMs)) return once;
  const count = Math.max(1, Math.min(briefRepeats, Math.round(briefRepeatedMs / Math.max(once, 1e-4))));
  const graph = cuda.capture(stream, () => {
    for (let i = 0; i < count; i++) work();
  });
  try {
    const samples = [0, 1, 2].map(() => timed(stage, () => cuda.launch(graph, stream)) / count);
    return Math.min(...samples);
  } finally {
    cuda.wait(stream);
    cuda.destroyGraph(graph);
  }
}

/**
 * Time of each of some launches that run side by side, after a first run, ms: they are repeated in a captured graph, each in
 * its lane of `streams`. Whatever they write may be nonsense, for they write over each other's results.
 */
export function besideMs(stage: Stage, streams: LaneStreams, launches: readonly (() => void)[]): number {
  const { cuda, stream } = stage;
  const [first] = launches as [() => void];
  first();
  cuda.wait(stream);
  const once = timed(stage, first);
  const count = Math.max(1, Math.min(briefRepeats, Math.round(briefRepeatedMs / Math.max(once, 1e-4))));
  const work = Array.from({ length: count }, () =>
    launches.map((launch, lane) => ({ lane, waits: [], launch })),
  ).flat();
  const graph = cuda.capture(stream, () => streams.sideBySide(work));
  try {
    const samples = [0, 1, 2].map(() => timed(stage, () => cuda.launch(graph, stream)) / work.length);
    return Math.min(...samples);
  } finally {
    cuda.wait(stream);
    cuda.destroyGraph(graph);
  }
}

/**
 * Times of the node at `index`, which `call` runs, ms: a captured graph of its repeats, replayed. Launch gaps and the events' own time are outside.
 * The node's inputs must hold what it is to run on; its outputs are overwritten, inputs that it writes over are kept.
 */
export function nodeSamples(
  stage: Stage,
  graph: Graph,
  index: number,
  call: () => void,
  address: (name: string) => Pointer,
): number[] {
  const { cuda, stream } = stage;
  const keep = overwritten(graph, index, address);
  const kept = keep.map(({ at, bytes }) => {
    const copy = cuda.malloc(bytes);
    cuda.copy(copy, at, bytes, onDevice, stream);
    return { at, bytes, copy };
  });
  const restore = (): void => {
    for (const { at, bytes, copy } of kept) cuda.copy(at, copy, bytes, onDevice, stream);
  };
  const repeated = (count: number): { ms: () => number; free: () => void } => {
    const captured = cuda.capture(stream, () => {
      for (let i = 0; i < count; i++) call();
    });
    return {
      ms: () => timed(stage, () => cuda.launch(captured, stream)) / count,
      free: () => cuda.destroyGraph(captured),
    };
  };
  try {
    const once = repeated(1);
    once.ms();
    const first = once.ms();
    once.free();
    const count = Math.min(mostRepeats, Math.max(1, Math.round(repeatedMs / Math.max(first, 1e-4))));
    const many = repeated(count);
    many.ms();
    const samples = Array.from({ length: replays }, () => many.ms());
    many.free();
    restore();
    return samples;
  } finally {
    cuda.wait(stream);
    for (const { copy } of kept) cuda.free(copy);
  }
}

/** A kernel of one thread that writes the device's clock, ns, to the address that it is given. */
export const stampSource: KernelSource = {
  name: "mutwo_stamp",
  source: `extern "C" __global__ void mutwo_stamp(unsigned long long* at) {
  unsigned long long now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  *at = now;
}
`,
  blocks: 1,
  threads: 1,
};

/** Stamps in a row that tell what one costs. */
const bareStamps = 200;

/** Replays of a stamped step that are thrown away, and that are kept. */
const stampedWarmups = 2;

const stampedReplays = 10;

/**
 * Times of all nodes in their step, ms: the step captured once more with a clock reading before each node and after the
 * last, replayed. What a reading costs is measured too, and taken off. Unlike repeats of one node this sees caches,
 * instructions and launches as they are in the step. `node(i, invoke)` runs the i-th; every replay is a real step.
 */
export function stampedSamples(
  stage: Stage,
  count: number,
  capture: (work: (invoke: Invoke) => void) => Pointer,
  node: (index: number, invoke: Invoke) => void,
  stamp: (at: Pointer) => void,
): number[][] {
  const { cuda, stream } = stage;
  const bytes = 8 * (count + 1 + bareStamps);
  const memory = cuda.malloc(bytes);
  const at = (index: number): Pointer => memory + BigInt(8 * index);
  let graph: Pointer = 0n;
  try {
    graph = capture((invoke) => {
      for (let i = 0; i < bareStamps; i++) stamp(at(count + 1 + i));
      for (let i = 0; i < count; i++) {
        stamp(at(i));
        node(i, invoke);
      }
      stamp(at(count));
    });
    const samples = Array.from({ length: count }, (): number[] => []);
    for (let replay = 0; replay < stampedWarmups + stampedReplays; replay++) {
      cuda.launch(graph, stream);
      cuda.wait(stream);
      if (replay < stampedWarmups) continue;
      const raw = new Uint8Array(new ArrayBuffer(bytes));
      cuda.read(raw, memory);
      const times = new BigUint64Array(raw.buffer);
      const between = (from: number, to: number): number => Number((times[to] as bigint) - (times[from] as bigint));
      // the mean, because the clock may tick coarsely
      const bare = between(count + 1 + 20, count + bareStamps) / (bareStamps - 21);
      for (let i = 0; i < count; i++) (samples[i] as number[]).push(Math.max(0, between(i, i + 1) - bare) / 1e6);
    }
    return samples;
  } finally {
    if (graph) cuda.destroyGraph(graph);
    cuda.wait(stream);
    cuda.free(memory);
  }
}

/** Places that a node reads and writes. */
function overwritten(
  graph: Graph,
  index: number,
  address: (name: string) => Pointer,
): { at: Pointer; bytes: number }[] {
  const node = graph.nodes[index];
  if (!node || opOf(node).view) return [];
  const range = (name: string) => {
    const bytes = tensorBytes(tensorOf(graph, name));
    return { at: address(name), bytes, end: address(name) + BigInt(bytes) };
  };
  const placed = (name: string): boolean => name !== "" && tensorOf(graph, name).host !== true;
  const written = node.outputs.filter(placed).map(range);
  const inputs = new Map(node.inputs.filter(placed).map((name) => [name, range(name)]));
  return [...inputs.values()].filter(({ at, end }) => written.some((out) => at < out.end && out.at < end));
}

/** Times of copies between pinned host memory and the device at `at`, which is overwritten; ms. */
export function copyTimes(stage: Stage, at: Pointer, availableBytes: number, sizes: readonly number[]): CopyTime[] {
  const { cuda, stream } = stage;
  const wanted = [...new Set(sizes.map((bytes) => Math.min(bytes, largestCopyBytes, availableBytes)))]
    .filter((bytes) => bytes > 0)
    .sort((a, z) => a - z);
  const largest = wanted.at(-1);
  if (!largest) return [];
  const host = cuda.hostAlloc(largest);
  const median = (work: () => void): number => {
    const samples = Array.from({ length: 3 }, () => timed(stage, work)).sort((a, z) => a - z);
    return samples[1] as number;
  };
  try {
    // an idle link takes a while until it is as fast as it can be
    let warmMs = 0;
    for (let count = 0; count < mostWarmCopies && warmMs < warmLinkMs; count++)
      warmMs += timed(stage, () => {
        cuda.copy(host, at, largest, toHost, stream);
        cuda.copy(at, host, largest, toDevice, stream);
      });
    return wanted.map((bytes) => ({
      bytes,
      toHostMs: median(() => cuda.copy(host, at, bytes, toHost, stream)),
      toDeviceMs: median(() => cuda.copy(at, host, bytes, toDevice, stream)),
    }));
  } finally {
    cuda.wait(stream);
    cuda.hostFree(host);
  }
}
