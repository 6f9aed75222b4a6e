import type { Graph, Node } from "../../graph/graph.js";
import { idlePieces, type Layout } from "../../memory/layout.js";
import { opOf } from "../../ops/index.js";
import { isConvolution } from "../../step/layout-regions.js";
import { invokeNode, type Prepared, type PreparedStep, prepareStep, type StepKernels } from "../interpreter.js";
import type { Invoke } from "../ort.js";
import type { Pointer } from "../ort-api.js";
import type { RunOptions, StepResult } from "../runtime.js";
import { CapturedStep, canCapture, isFragile } from "./capture.js";
import type { Compiler } from "./compiler.js";
import type { Gpu, Lane, NodeContext } from "./context.js";
import { LaneKernels } from "./lane-kernels.js";
import { LaneStreams } from "./lane-streams.js";
import { gpuLanes, laneWaits, launchOf } from "./lane-waits.js";
import { type Stage, timed } from "./measure.js";
import { StepMemory } from "./memory.js";
import { prepareOwn } from "./nodes.js";
import type { Releases } from "./releases.js";
import type { KernelSource } from "./source/kernel.js";
import { nextStepSource } from "./source/random.js";
import { Staging } from "./staging.js";
import type { Idle } from "./workspace.js";

/** Inputs that CUDA kernels read on the host. */
export const hostInputs = (node: Node): readonly number[] => opOf(node).gpuHostInputs ?? opOf(node).hostInputs;

/** Eager steps before a step is captured: kernels allocate and choose algorithms in the first, and settle in the second. */
export const eagerSteps = 2;

/** A graph on the GPU: its memory allocated, its kernels looked up; run node by node, or as one captured graph. */
export class GpuStep {
  readonly memory: StepMemory;
  readonly stage: Stage;
  readonly staging: Staging;
  /** Nodes that do something, in list order. */
  readonly prepared: readonly Prepared[];
  /** Whether the step can be captured. */
  readonly canCapture: boolean;
  /** Bytes that each node's kernel took for itself when the host launched it last. */
  readonly workspaceBytes: number[];
  /** The lanes that its nodes run in: those of the runtime, from the first on. */
  readonly lanes: readonly Lane[];
  /** Which of them each node runs in. */
  private readonly laneOfNode: Int32Array;
  private readonly streams: LaneStreams;
  private readonly kernels: StepKernels;
  private readonly interpreter: PreparedStep;
  private readonly captured: CapturedStep;
  private readonly copyEvents = new Map<string, Pointer>();
  /** Generated kernels that are needed. */
  private readonly wanted: KernelSource[] = [];
  /** Address of the number of the step. */
  private readonly stepCounter: Pointer;
  /** Makes random numbers others in the next step. */
  private readonly nextStep: () => void;
  /** Memory of the arena in which nothing lives during each node. */
  private readonly idle: readonly Idle[];
  private eagerRuns = 0;
  private around: (index: number, call: () => void) => void;

  /** Loads a graph; what it takes is given back with `releases`. Throws `out of memory: …` or `no kernel: …`. */
  constructor(
    readonly graph: Graph,
    readonly layout: Layout,
    readonly gpu: Gpu,
    private readonly releases: Releases,
  ) {
    const { cuda, stream, compiler } = gpu;
    const { count, of } = gpuLanes(graph);
    this.lanes = Array.from({ length: count }, (_, lane) => (lane === 0 ? gpu : gpu.lane(lane)));
    this.laneOfNode = of;
    this.kernels = count === 1 ? gpu.kernels : new LaneKernels(this.lanes.map(({ kernels }) => kernels));
    const streams = this.lanes.map((lane) => lane.stream);
    this.streams = new LaneStreams(cuda, streams, releases);
    this.memory = new StepMemory(graph, layout, gpu, releases);
    releases.add(() => this.copyEvents.forEach((event) => void cuda.destroyEvent(event)));
    this.staging = new Staging(graph, this.memory.address, gpu, releases);
    const stepCounter = cuda.malloc(8);
    this.stepCounter = stepCounter;
    releases.add(() => cuda.free(stepCounter));
    cuda.fill(stepCounter, 0, 8, stream);
    const { arena } = this.memory;
    this.idle = idlePieces(graph, layout).map(({ offset, bytes }) => ({ at: arena + BigInt(offset), bytes }));
    this.workspaceBytes = new Array<number>(graph.nodes.length).fill(0);
    this.around = this.counting;
    this.interpreter = this.prepare(stepCounter);
    this.prepared = this.interpreter.nodes;
    releases.add(() => this.interpreter.release());
    const isRandom = graph.nodes.some((node) => opOf(node).random);
    this.nextStep = isRandom && compiler ? this.launcher(nextStepSource, () => [stepCounter], stream) : () => {};
    compiler?.compile(this.wanted);
    const events = [cuda.event(true), cuda.event(true)] as const;
    releases.add(() => events.forEach((event) => void cuda.destroyEvent(event)));
    this.stage = { cuda, stream, events };
    this.canCapture = canCapture(graph, gpu);
    const capture = (): Pointer => this.capture((invoke) => this.launchAll(invoke));
    const version = (): number => this.lanes.reduce((sum, { workspace }) => sum + workspace.version, 0);
    this.captured = new CapturedStep(isFragile(graph, gpu), { ...gpu, version }, capture);
    releases.add(() => this.captured.forget());
    this.memory.writeConstants();
  }

  /** One step the way it is meant to run: replayed where that is possible, once kernels have settled. */
  async run(options: RunOptions = {}): Promise<StepResult> {
    if (this.releases.isClosed) throw new Error("the step is closed");
    options.signal?.throwIfAborted();
    this.staging.take();
    if (options.observe?.size || this.eagerRuns < eagerSteps || !this.canCapture) return this.eager(options);
    const { cuda, stream, events } = this.stage;
    const graph = this.captured.graph();
    cuda.record(events[0], stream);
    cuda.launch(graph, stream);
    cuda.record(events[1], stream);
    // others have their turn meanwhile: who reads the next batch, say
    do await new Promise((resolve) => setImmediate(resolve));
    while (!cuda.isDone(events[1]));
    return { stepMs: cuda.elapsedMs(...events), nodeMs: new Float64Array(0), observed: new Map() };
  }

  /** Random numbers are those after so many runs from now on. */
  skipTo(runs: number): void {
    const { cuda, stream } = this.gpu;
    cuda.wait(stream);
    cuda.write(this.stepCounter, new Uint8Array(BigUint64Array.of(BigInt(runs)).buffer));
    this.interpreter.skipTo(runs);
    this.streams.wait();
  }

  /** Copies a tensor's bytes out, when all that was started before is done. */
  readonly read = (name: string): Uint8Array => {
    this.turnTo(0);
    return this.memory.read(name);
  };

  /** A tensor's value between steps, when all that was started before is done. */
  readonly readValue = (name: string): Uint8Array => {
    this.turnTo(0);
    return this.memory.readValue(name);
  };

  /** The lane that the node at an index runs in. */
  laneOf(index: number): number {
    return this.laneOfNode[index] as number;
  }

  /** What is launched next, in this lane, comes after all that was launched before. */
  turnTo(lane: number): void {
    this.streams.turnTo(lane);
  }

  /** One step with every kernel launched by the host; `around` must run the call of the node at an index. */
  async eager(options: RunOptions, around = this.counting): Promise<StepResult> {
    const { cuda, stream, events } = this.stage;
    this.around = around;
    try {
      cuda.record(events[0], stream);
      const result = await this.interpreter.run(options);
      this.turnTo(0);
      this.nextStep();
      cuda.record(events[1], stream);
      const stepMs = cuda.elapsedMs(...events);
      this.eagerRuns++;
      if (this.eagerRuns <= eagerSteps) for (const { workspace } of this.lanes) workspace.settle();
      return { ...result, stepMs };
    } finally {
      this.around = this.counting;
      this.streams.reset();
    }
  }

  /** The whole step as one graph; its time, ms. */
  replay(): number {
    const { cuda, stream } = this.stage;
    const graph = this.captured.graph();
    return timed(this.stage, () => cuda.launch(graph, stream));
  }

  /** Captures what `work` launches, kernels of ONNX Runtime through what it is given. */
  capture(work: (invoke: Invoke) => void): Pointer {
    const { cuda, stream } = this.gpu;
    const whole = (invoke: Invoke): void => {
      work(invoke);
      this.turnTo(0);
    };
    try {
      return this.kernels.within((invoke) => cuda.capture(stream, () => whole(invoke)));
    } finally {
      this.streams.reset();
    }
  }

  /** Launches a node after all that was launched before. */
  launch(invoke: Invoke, node: Prepared): void {
    this.turnTo(this.laneOf(node.index));
    this.during(node.index, () => invokeNode(invoke, node));
  }

  /** Runs the call of the node at an index with the workspace that it has; returns the most bytes that it had taken. */
  during(index: number, call: () => void): number {
    // kernels keep what they take in their first call (constants of ones, say): that must not lie in the arena
    const { workspace } = this.lanes[this.laneOf(index)] as Lane;
    return workspace.during(call, this.idle[index], this.eagerRuns === 0);
  }

  /** Launches the whole step, lanes side by side. */
  private launchAll(invoke: Invoke): void {
    const { graph, prepared, lanes, memory } = this;
    const launched = ({ index }: Prepared) =>
      launchOf(graph.nodes[index] as Node, this.laneOf(index), graph, memory.address);
    const waits = lanes.length > 1 ? laneWaits(prepared.map(launched), lanes.length) : [];
    this.streams.sideBySide(
      prepared.map((node, at) => ({
        lane: this.laneOf(node.index),
        waits: waits[at] ?? [],
        launch: () => void this.during(node.index, () => invokeNode(invoke, node)),
      })),
    );
    this.nextStep();
  }

  private readonly counting = (index: number, call: () => void): void => {
    this.turnTo(this.laneOf(index));
    this.workspaceBytes[index] = this.during(index, call);
  };

  private prepare(stepCounter: Pointer): PreparedStep {
    const { graph, gpu, event, read } = this;
    const { overlaid } = this.layout;
    const { address } = this.memory;
    const convolving = new Set(
      this.graph.nodes.flatMap((node, index) => (isConvolution(node) ? [this.laneOf(index)] : [])),
    );
    const beside = 2 ** Math.min(3, Math.floor(Math.log2(Math.max(1, convolving.size))));
    const contexts = this.lanes.map((lane): NodeContext => {
      const launcher: NodeContext["launcher"] = (source, addresses) => this.launcher(source, addresses, lane.stream);
      return { ...gpu, ...lane, graph, beside, address, event, stepCounter, launcher, overlaid };
    });
    return prepareStep(graph, this.kernels, {
      address,
      read,
      own: (node, index) => prepareOwn(node, contexts[this.laneOf(index)] as NodeContext),
      hostInputs,
      kernelsKnowShapes: true,
      laneOf: (index) => this.laneOf(index),
      around: (index, call) => this.around(index, call),
    });
  }

  private readonly event = (name: string): Pointer => {
    const known = this.copyEvents.get(name) ?? this.gpu.cuda.event(false);
    this.copyEvents.set(name, known);
    return known;
  };

  /** A launch of a generated kernel in a stream. */
  private launcher(source: KernelSource, addresses: () => readonly Pointer[], stream: Pointer): () => void {
    this.wanted.push(source);
    let ready: (() => void) | undefined;
    return () => {
      ready ??= (this.gpu.compiler as Compiler).kernel(source).prepare(addresses, stream);
      ready();
    };
  }
}
