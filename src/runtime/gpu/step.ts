import type { Graph, Node } from "../../graph/graph.js";
import { idlePieces, type Layout } from "../../memory/layout.js";
import { opOf } from "../../ops/index.js";
import { invokeNode, type Prepared, type PreparedStep, prepareStep } from "../interpreter.js";
import type { Invoke } from "../ort.js";
import type { Pointer } from "../ort-api.js";
import type { RunOptions, StepResult } from "../runtime.js";
import { CapturedStep, canCapture, isFragile } from "./capture.js";
import type { Compiler } from "./compiler.js";
import type { Gpu, NodeContext } from "./context.js";
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
    this.nextStep = isRandom && compiler ? this.launcher(nextStepSource, () => [stepCounter]) : () => {};
    compiler?.compile(this.wanted);
    const events = [cuda.event(true), cuda.event(true)] as const;
    releases.add(() => events.forEach((event) => void cuda.destroyEvent(event)));
    this.stage = { cuda, stream, events };
    this.canCapture = canCapture(graph, gpu);
    const capture = (): Pointer => this.capture((invoke) => this.launchAll(invoke));
    this.captured = new CapturedStep(isFragile(graph, gpu), gpu, capture);
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
  }

  /** One step with every kernel launched by the host; `around` must run the call of the node at an index. */
  async eager(options: RunOptions, around = this.counting): Promise<StepResult> {
    const { cuda, stream, events } = this.stage;
    this.around = around;
    try {
      cuda.record(events[0], stream);
      const result = await this.interpreter.run(options);
      this.nextStep();
      cuda.record(events[1], stream);
      const stepMs = cuda.elapsedMs(...events);
      this.eagerRuns++;
      if (this.eagerRuns <= eagerSteps) this.gpu.workspace.settle();
      return { ...result, stepMs };
    } finally {
      this.around = this.counting;
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
    const { cuda, kernels, stream } = this.gpu;
    return kernels.within((invoke) => cuda.capture(stream, () => work(invoke)));
  }

  /** Launches a node. */
  launch(invoke: Invoke, node: Prepared): void {
    this.during(node.index, () => invokeNode(invoke, node));
  }

  /** Runs the call of the node at an index with the workspace that it has; returns the most bytes that it had taken. */
  during(index: number, call: () => void): number {
    // kernels keep what they take in their first call (constants of ones, say): that must not lie in the arena
    return this.gpu.workspace.during(call, this.idle[index], this.eagerRuns === 0);
  }

  private launchAll(invoke: Invoke): void {
    for (const node of this.prepared) this.launch(invoke, node);
    this.nextStep();
  }

  private readonly counting = (index: number, call: () => void): void => {
    this.workspaceBytes[index] = this.during(index, call);
  };

  private prepare(stepCounter: Pointer): PreparedStep {
    const { graph, gpu, memory, event, launcher } = this;
    const { overlaid } = this.layout;
    const { address, read } = memory;
    const context: NodeContext = { ...gpu, graph, address, event, stepCounter, launcher, overlaid };
    return prepareStep(graph, gpu.kernels, {
      address,
      read,
      own: (node) => prepareOwn(node, context),
      hostInputs,
      kernelsKnowShapes: true,
      around: (index, call) => this.around(index, call),
    });
  }

  private readonly event = (name: string): Pointer => {
    const known = this.copyEvents.get(name) ?? this.gpu.cuda.event(false);
    this.copyEvents.set(name, known);
    return known;
  };

  private readonly launcher: NodeContext["launcher"] = (source, addresses) => {
    this.wanted.push(source);
    let ready: (() => void) | undefined;
    return () => {
      ready ??= (this.gpu.compiler as Compiler).kernel(source).prepare(addresses, this.gpu.stream);
      ready();
    };
  };
}
