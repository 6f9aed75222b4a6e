import type { Graph } from "../../../src/graph/graph.js";
import type { Gpu, NodeContext } from "../../../src/runtime/gpu/context.js";
import type { KernelSource } from "../../../src/runtime/gpu/source/kernel.js";
import { Workspace } from "../../../src/runtime/gpu/workspace.js";
import { writtenKernels } from "../written-kernels.js";
import { FakeMemory } from "./fake-memory.js";

/** How a device that is none differs from one with everything. */
export interface FakeOptions {
  /** Whether kernels can be compiled; default true. */
  readonly compiles?: boolean;
  readonly deterministic?: boolean;
  /** Ops that ONNX Runtime has no kernel for. */
  readonly lacks?: readonly string[];
  /** ms between any two events; default 1. */
  readonly elapsedMs?: number;
}

/**
 * A GPU that computes nothing: memory is counted, and what is asked of the device is written down, a line each. Streams
 * are 1 (kernels), 2 (copies out) and 3 (copies in), those of lane 2 are 21, 22 and 23; a captured graph holds the lines of its capture.
 */
export function fakeGpu({ compiles = true, deterministic = false, lacks = [], elapsedMs = 1 }: FakeOptions = {}) {
  const memory = new FakeMemory();
  const lines: string[] = [];
  const say = (line: string): void => void lines.push(line);
  /** Events and graphs that are not destroyed. */
  const made = new Set<bigint>();
  let next = 100n;
  let besideBytes = 1000;
  const make = (): bigint => {
    made.add(++next);
    return next;
  };
  const cuda = {
    name: "Fake GPU",
    multiprocessors: 4,
    totalBytes: 2 ** 31,
    freeBytes: () => 2 ** 30,
    processBytes: () => 5000,
    besideBytes: () => (besideBytes += 100),
    malloc: memory.malloc,
    free: memory.free,
    hostAlloc: memory.malloc,
    hostFree: memory.free,
    write: () => {},
    writeHost: (to: bigint, from: Uint8Array) => say(`put ${from.length} bytes at ${to}`),
    stream: make,
    destroyStream: (stream: bigint) => made.delete(stream),
    waitOnHost: (event: bigint) => say(`host waits for ${event}`),
    isDone: () => true,
    read: (into: Uint8Array) => void into.fill(0),
    copy: (to: bigint, from: bigint, bytes: number, kind: number, stream: bigint) =>
      say(`copy ${bytes} bytes ${from}→${to} kind ${kind} stream ${stream}`),
    copyRows: (to: bigint, toPitch: number, from: bigint, fromPitch: number, width: number, rows: number) =>
      say(`copy ${rows} rows of ${width} bytes ${from}/${fromPitch}→${to}/${toPitch}`),
    fill: () => {},
    wait: () => {},
    event: make,
    destroyEvent: (event: bigint) => made.delete(event),
    record: (event: bigint, stream: bigint) => say(`record ${event} stream ${stream}`),
    waitFor: (stream: bigint, event: bigint) => say(`stream ${stream} waits for ${event}`),
    elapsedMs: () => elapsedMs,
    capture(_: bigint, work: () => void) {
      say("capture");
      work();
      say("captured");
      return make();
    },
    launch: () => say("launch graph"),
    destroyGraph: (graph: bigint) => made.delete(graph),
  };
  const cudnn = {
    supports: (dtype: string) => dtype !== "int64",
    tensor: () => 7n,
    create: () => 8n,
    call: (name: string, ...args: unknown[]) => say(`${name} ${args.join(" ")}`),
    run: (name: string, ...args: unknown[]) =>
      say(`${name} ${args.filter((arg) => !(arg instanceof Uint8Array)).join(" ")}`),
  };
  const compiler = {
    compile: (sources: readonly { name: string }[]) => say(`compile ${sources.length}`),
    kernel: (source: { name: string }) => ({
      prepare: (addresses: () => readonly bigint[], stream: bigint) => () =>
        say(`kernel of ${addresses().length}: ${source.name}${stream === 1n ? "" : ` stream ${stream}`}`),
    }),
  };
  const kernels = writtenKernels(lacks);
  const kernelsOf = (lane: bigint) => ({
    ...kernels,
    within: <T>(work: (called: () => void) => T) =>
      work(() => say(`kernel of ONNX Runtime${lane ? ` stream ${10n * lane + 1n}` : ""}`)),
  });
  const open = (number: bigint) => ({
    cudnn,
    kernels: kernelsOf(number),
    stream: 10n * number + 1n,
    copyStreams: { out: 10n * number + 2n, in: 10n * number + 3n },
    workspace: new Workspace(memory),
    convolutions: new Map(),
  });
  const lanes = [open(0n)];
  const lane = (number: number) => {
    while (lanes.length <= number) lanes.push(open(BigInt(lanes.length)));
    return lanes[number];
  };
  const gpu = {
    cuda,
    ...lanes[0],
    lane,
    found: new Map(),
    chosen: new Map(),
    tf32: false,
    deterministic,
    contextBytes: () => 1000,
    compiler: compiles ? compiler : undefined,
    compiles,
    kernelUses: () => 0,
  } as unknown as Gpu;
  return { gpu, lines, memory, made, taken: () => lines.splice(0) };
}

/** What a node without a kernel of ONNX Runtime sees on a fake GPU: the n-th tensor of its graph lies at 4096·(n + 1). */
export function fakeContext(graph: Graph, options: FakeOptions = {}) {
  const fake = fakeGpu(options);
  const names = [...graph.tensors.keys()];
  const address = (name: string): bigint => BigInt(4096 * (names.indexOf(name) + 1));
  const events: string[] = [];
  const sources: KernelSource[] = [];
  const context: NodeContext = {
    ...fake.gpu,
    graph,
    beside: 1,
    address,
    stepCounter: 9n,
    event: (name) => BigInt(events.includes(name) ? events.indexOf(name) + 1 : events.push(name)),
    launcher(source, addresses) {
      sources.push(source);
      return () => void fake.lines.push(`launch ${source.blocks}×${source.threads} on ${addresses().join(" ")}`);
    },
  };
  return { ...fake, context, address, sources };
}
