import { formatBytes } from "../../format.js";
import { type Graph, type Node, tensorBytes, tensorOf } from "../../graph/graph.js";
import { idlePieces, type Layout } from "../../memory/layout.js";
import { opOf } from "../../ops/index.js";
import { invokeNode, type Prepared, prepareStep } from "../interpreter.js";
import { signatureOf } from "../kernel-key.js";
import { readLoss } from "../measure.js";
import type { Invoke, Kernels } from "../ort.js";
import type { Pointer } from "../ort-api.js";
import type { LoadedStep, Measurement, MeasureOptions, RunOptions, StepResult } from "../runtime.js";
import type { NodeContext } from "./context.js";
import type { Cuda } from "./cuda.js";
import type { Convolution, Cudnn } from "./cudnn.js";
import { copyTimes, nodeSamples, stampedSamples, stampSource, timed } from "./measure.js";
import { prepareOwn, runsOwn } from "./nodes.js";
import type { Compiler } from "./nvrtc.js";
import type { KernelSource } from "./source/kernel.js";
import { nextStepSource } from "./source/random.js";
import type { Idle, Workspace } from "./workspace.js";

/** Everything that the steps of one runtime share. */
export interface Gpu {
  readonly cuda: Cuda;
  readonly cudnn: Cudnn;
  readonly kernels: Kernels;
  readonly stream: Pointer;
  /** For copies to the host and back. */
  readonly copyStreams: { readonly out: Pointer; readonly in: Pointer };
  readonly workspace: Workspace;
  readonly convolutions: Map<string, readonly Convolution[]>;
  readonly chosen: Map<string, Convolution>;
  readonly tf32: boolean;
  readonly deterministic: boolean;
  /** What the process held on the device when everything was open and nothing of a step was there. */
  readonly contextBytes: number;
  readonly compiler: Compiler | undefined;
  readonly compiles: boolean;
  /** How often kernels of ONNX Runtime were called or captured, by any step. */
  kernelUses(): number;
}

/** Inputs that CUDA kernels read on the host. */
export const hostInputs = (node: Node): readonly number[] => opOf(node).gpuHostInputs ?? opOf(node).hostInputs;

/**
 * Whether ONNX Runtime's kernel of a node passes addresses or shapes through pinned host memory. The next kernels may
 * write over it: a captured step with such a node is captured again when anything else has run since.
 */
export function readsPinned(node: Node, graph: Pick<Graph, "tensors" | "name">): boolean {
  const { pins } = opOf(node);
  if (pins !== "batches") return pins === "always";
  const [left, right] = node.inputs.map((name) => tensorOf(graph, name).shape.slice(0, -2));
  return Boolean(right?.length) && left?.join() !== right?.join();
}

/** Eager steps before a step is captured: kernels allocate and choose algorithms in the first, and settle in the second. */
const eagerSteps = 2;

/** A graph on the GPU: its arena allocated, its kernels looked up. */
export function loadOnGpu(graph: Graph, layout: Layout, gpu: Gpu): LoadedStep {
  const { cuda, kernels, stream, workspace } = gpu;
  const free = cuda.freeBytes();
  if (layout.arenaBytes > free)
    throw new Error(
      `out of memory: the step's values need ${formatBytes(layout.arenaBytes)}, ${cuda.name} has ${formatBytes(free)} free`,
    );
  const arena = cuda.malloc(layout.arenaBytes);
  const release: (() => void)[] = [() => cuda.free(arena)];
  let pinned: Pointer = 0n;
  const address = (name: string): Pointer => {
    const onHost = layout.hostOffsets.get(name);
    const offset = onHost ?? layout.offsets.get(name);
    if (offset === undefined) throw new Error(`no place for tensor: ${name}`);
    return (onHost === undefined ? arena : pinned) + BigInt(offset);
  };
  const read = (name: string): Uint8Array => {
    const bytes = new Uint8Array(new ArrayBuffer(tensorBytes(tensorOf(graph, name))));
    cuda.wait(stream);
    if (bytes.length) cuda.read(bytes, address(name));
    return bytes;
  };
  let closed = false;
  const close = (): void => {
    if (closed) return;
    closed = true;
    // after a fault nothing can be freed any more; what failed first is what to report
    for (const one of release.reverse())
      try {
        one();
      } catch {}
  };
  try {
    if (layout.hostBytes) {
      pinned = cuda.hostAlloc(layout.hostBytes);
      release.push(() => cuda.hostFree(pinned));
    }
    const copyEvents = new Map<string, Pointer>();
    release.push(() => copyEvents.forEach((event) => void cuda.destroyEvent(event)));
    const event = (name: string): Pointer => {
      const known = copyEvents.get(name) ?? cuda.event(false);
      copyEvents.set(name, known);
      return known;
    };
    const stepCounter = cuda.malloc(8);
    release.push(() => cuda.free(stepCounter));
    cuda.fill(stepCounter, 0, 8, stream);
    const wanted: KernelSource[] = [];
    const launcher: NodeContext["launcher"] = (source, addresses) => {
      wanted.push(source);
      let ready: (() => void) | undefined;
      return () => {
        ready ??= (gpu.compiler as Compiler).kernel(source).prepare(addresses, stream);
        ready();
      };
    };
    const context: NodeContext = { ...gpu, graph, address, event, stepCounter, launcher };
    // kernels keep what they take in their first call (constants of ones, say): that must not lie in the arena
    const idle = idlePieces(graph, layout).map(({ offset, bytes }) => ({ at: arena + BigInt(offset), bytes }));
    const idleOf = (index: number): Idle | undefined => (steps > 0 ? idle[index] : undefined);
    let steps = 0;
    const nodeWorkspace = new Array<number>(graph.nodes.length).fill(0);
    /** What happens around each node's call: by default its workspace is counted. */
    const counting = (index: number, call: () => void): void => {
      nodeWorkspace[index] = workspace.during(call, idleOf(index));
    };
    let around = counting;
    const prepared = prepareStep(graph, kernels, {
      address,
      read,
      own: (node) => prepareOwn(node, context),
      hostInputs,
      kernelsKnowShapes: true,
      around: (index, call) => around(index, call),
    });
    release.push(() => prepared.release());
    // random numbers are others in the next step
    const isRandom = graph.nodes.some((node) => opOf(node).random);
    const nextStep = isRandom && gpu.compiler ? launcher(nextStepSource, () => [stepCounter]) : () => {};
    gpu.compiler?.compile(wanted);
    const events = [cuda.event(true), cuda.event(true)] as const;
    release.push(() => events.forEach((event) => void cuda.destroyEvent(event)));
    const stage = { cuda, stream, events };
    const isLaunched = (node: Node): boolean => !opOf(node).view && !runsOwn(node, graph, gpu);
    // ONNX Runtime's kernels draw their numbers when they are called: a replay would draw the same ones again
    const canCapture = !graph.nodes.some((node) => opOf(node).random && isLaunched(node));
    const isFragile = graph.nodes.some((node) => isLaunched(node) && readsPinned(node, graph));
    let captured: { graph: Pointer; version: number; uses: number } | undefined;
    const forget = (): void => {
      if (captured) cuda.destroyGraph(captured.graph);
      captured = undefined;
    };
    release.push(forget);
    for (const tensor of graph.tensors.values())
      if (tensor.category === "constant" && tensor.data?.length && layout.offsets.has(tensor.name))
        cuda.write(address(tensor.name), tensor.data);

    /** One step with every kernel launched by the host. */
    const eager = async (options: RunOptions): Promise<StepResult> => {
      cuda.record(events[0], stream);
      const result = await prepared.run(options);
      nextStep();
      cuda.record(events[1], stream);
      const stepMs = cuda.elapsedMs(...events);
      steps++;
      if (steps <= eagerSteps) workspace.settle();
      return { ...result, stepMs };
    };
    /** The whole step as one graph, captured when it is wanted and whenever what it refers to has moved. */
    const replay = (): number => {
      if (captured?.version !== workspace.version || (isFragile && captured.uses !== gpu.kernelUses())) {
        forget();
        const graph = kernels.within((invoke) =>
          cuda.capture(stream, () => {
            for (const node of prepared.nodes) workspace.during(() => invokeNode(invoke, node), idleOf(node.index));
            nextStep();
          }),
        );
        captured = { graph, version: workspace.version, uses: gpu.kernelUses() };
      }
      const { graph } = captured as { graph: Pointer };
      return timed(stage, () => cuda.launch(graph, stream));
    };
    const run = async (options: RunOptions = {}): Promise<StepResult> => {
      if (closed) throw new Error("the step is closed");
      options.signal?.throwIfAborted();
      if (options.observe?.size || steps < eagerSteps || !canCapture) return eager(options);
      await new Promise((resolve) => setImmediate(resolve));
      return { stepMs: replay(), nodeMs: new Float64Array(0), observed: new Map() };
    };
    /** Every node in its place in the captured step. */
    const stampedTimes = (compiler: Compiler): (readonly number[])[] => {
      compiler.compile([stampSource]);
      let place: Pointer = 0n;
      const stamp = compiler.kernel(stampSource).prepare(() => [place], stream);
      let run: Invoke | undefined;
      const samples = stampedSamples(
        stage,
        prepared.nodes.length,
        (work) =>
          kernels.within((invoke) => {
            run = invoke;
            return cuda.capture(stream, work);
          }),
        (i) => {
          const node = prepared.nodes[i] as Prepared;
          workspace.during(() => invokeNode(run as Invoke, node), idleOf(node.index));
        },
        (at) => {
          place = at;
          stamp();
        },
      );
      const times = graph.nodes.map((): readonly number[] => [0]);
      prepared.nodes.forEach(({ index }, i) => {
        times[index] = samples[i] as number[];
      });
      return times;
    };
    /** Each distinct node by repeats in a captured graph of its own: where there is no compiler. */
    const repeatedTimes = async (signal: Pick<RunOptions, "signal">): Promise<(readonly number[])[]> => {
      const samples = new Map<string, readonly number[]>();
      const times = graph.nodes.map((): readonly number[] => [0]);
      around = (index, call) => {
        const key = signatureOf(graph.nodes[index] as Node, graph);
        if (!samples.has(key))
          workspace.during(() => void samples.set(key, nodeSamples(stage, graph, index, call, address)), idle[index]);
        times[index] = samples.get(key) ?? [0];
        workspace.during(call, idle[index]);
      };
      try {
        await eager(signal);
      } finally {
        around = counting;
      }
      return times;
    };
    const measure = async (options: MeasureOptions): Promise<Measurement> => {
      const losses: (number | null)[] = [];
      const signal = options.signal ? { signal: options.signal } : {};
      const total = Math.max(options.warmups, eagerSteps) + 2 * options.iterations + 1;
      let done = 0;
      const finished = (): void => {
        losses.push(readLoss(graph, read));
        options.onProgress?.(++done, total);
      };
      for (let i = 0; i < Math.max(options.warmups, eagerSteps); i++) {
        await eager(signal);
        finished();
      }
      const eagerStep: number[] = [];
      for (let i = 0; i < options.iterations; i++) {
        eagerStep.push((await eager(signal)).stepMs);
        finished();
      }
      if (canCapture) replay(); // the first launch of a graph uploads it
      const step: number[] = [];
      for (let i = 0; i < options.iterations; i++) {
        step.push((await run(signal)).stepMs);
        finished();
      }
      const nodes = gpu.compiler ? stampedTimes(gpu.compiler) : await repeatedTimes(signal);
      finished();
      const copies = copyTimes(stage, arena, layout.arenaBytes, options.copyBytes);
      return {
        nodes,
        step,
        eagerStep,
        workspaceBytes: nodeWorkspace,
        memory: {
          valuesBytes: layout.arenaBytes,
          workspaceBytes: workspace.heldBytes,
          contextBytes: gpu.contextBytes,
          processBytes: cuda.processBytes() ?? cuda.totalBytes - cuda.freeBytes(),
          hostBytes: layout.hostBytes,
        },
        copies,
        losses,
      };
    };
    return {
      allocatedBytes: layout.arenaBytes,
      write(name, data) {
        const bytes = tensorBytes(tensorOf(graph, name));
        if (data.length !== bytes) throw new Error(`value of ${name} has ${data.length} bytes, not ${bytes}`);
        cuda.wait(stream);
        if (bytes) cuda.write(address(name), data);
      },
      read,
      run,
      measure,
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}
