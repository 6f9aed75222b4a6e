import { type Graph, int, type Node } from "../graph/graph.js";
import { opOf } from "../ops/index.js";
import { Operators } from "./kernel-cache.js";
import { type OpRequest, requestOf } from "./kernel-key.js";
import { NativeValues } from "./native-values.js";
import type { Invoke, Kernels } from "./ort.js";
import type { Pointer } from "./ort-api.js";
import type { RunOptions, StepResult } from "./runtime.js";

/** How long the interpreter stays inside the callback before timers and signals get their turn, ms. */
const turnMs = 50;

/** One node ready to run: an operator and native arrays of its values, or what takes the kernel's place. */
export interface Prepared {
  readonly index: number;
  readonly own?: () => void;
  readonly op: Pointer;
  readonly inputs: Pointer;
  readonly inputCount: number;
  readonly outputs: Pointer;
  readonly outputCount: number;
}

/** Where a step's values lie, and what runs without a kernel of ONNX Runtime. */
export interface Place {
  /** Address of a tensor's first byte. */
  address(name: string): Pointer;
  /** Copies a tensor's bytes out, when all that was started before is done. */
  read(name: string): Uint8Array;
  /** Runs a node in place of a kernel; undefined where the kernel is to be called. */
  own(node: Node, index: number): (() => void) | undefined;
  /** Inputs that the node's kernel reads on the host, where that is not where the values lie. */
  hostInputs(node: Node): readonly number[];
  /** Whether kernels keep state that depends on shapes: then nodes share one only if their shapes are equal. */
  readonly kernelsKnowShapes: boolean;
  /** Which session the kernel of a node comes from, where there are several; default 0. */
  laneOf?(index: number): number;
  /** Called around each node: what it says must run the call. */
  around?(index: number, call: () => void): void;
}

/** A graph's nodes with their kernels looked up, ready to be executed in list order. */
export interface PreparedStep {
  readonly nodes: readonly Prepared[];
  run(options?: RunOptions): Promise<StepResult>;
  /** Nodes that draw random numbers draw from now on what they would after so many runs from the start. */
  skipTo(runs: number): void;
  /** Releases operators and values; not the memory. */
  release(): void;
}

/** Runs a prepared node. */
export function invokeNode(invoke: Invoke, node: Prepared): void {
  if (node.own) node.own();
  else invoke(node.op, node.inputs, node.inputCount, node.outputs, node.outputCount);
}

/** What a step needs of kernels. */
export type StepKernels = Omit<Kernels, "allocations" | "close">;

/** Creates the values and operators of a graph's nodes. Throws `no kernel: …` with the node's name. */
export const prepareStep = (graph: Graph, kernels: StepKernels, place: Place): PreparedStep =>
  new Interpreter(graph, kernels, place);

class Interpreter implements PreparedStep {
  readonly nodes: Prepared[];
  private readonly operators: Operators;
  private readonly values: NativeValues;
  private released = false;
  /** When timers and signals had their turn last: many short steps must leave them one too. */
  private turnBegan = performance.now();

  constructor(
    private readonly graph: Graph,
    private readonly kernels: StepKernels,
    private readonly place: Place,
  ) {
    this.operators = new Operators(graph, kernels, place.kernelsKnowShapes);
    this.values = new NativeValues(graph, kernels, (name) => place.address(name));
    try {
      const nodes: Prepared[] = [];
      graph.nodes.forEach((node, index) => {
        const prepared = this.prepared(node, index);
        if (prepared) nodes.push(prepared);
      });
      this.nodes = nodes;
    } catch (error) {
      this.release();
      throw error;
    }
  }

  async run(options: RunOptions = {}): Promise<StepResult> {
    if (this.released) throw new Error("the step is closed");
    if (performance.now() - this.turnBegan > turnMs) await this.takeTurn();
    const execution = new Execution(this.graph, this.nodes, this.place, options);
    let stepMs = 0;
    for (;;) {
      options.signal?.throwIfAborted();
      const began = performance.now();
      this.kernels.within((invoke) => execution.turn(invoke, began));
      stepMs += performance.now() - began;
      if (execution.isDone) break;
      await this.takeTurn();
    }
    return { stepMs, nodeMs: execution.nodeMs, observed: execution.allObserved() };
  }

  skipTo(runs: number): void {
    const again: Prepared[] = [];
    this.nodes.forEach((prepared, at) => {
      const node = this.graph.nodes[prepared.index] as Node;
      const { random } = opOf(node);
      if (!random || prepared.own) return;
      const { seed } = node.attributes;
      const isLater = random === "int" && seed?.type === "int";
      const attributes = isLater ? { ...node.attributes, seed: int(seed.value + runs) } : node.attributes;
      const request = this.requestFor({ ...node, attributes }, prepared.index);
      const renewed = { ...prepared, op: this.operators.renewed(prepared.index, request) };
      this.nodes[at] = renewed;
      if (random === "float") again.push(renewed);
    });
    if (runs && again.length)
      this.kernels.within((invoke) => {
        for (let run = 0; run < runs; run++) for (const node of again) invokeNode(invoke, node);
      });
  }

  release(): void {
    if (this.released) return;
    this.released = true;
    this.operators.release();
    this.values.release();
  }

  /** A node ready to run; undefined for a view, which costs nothing. */
  private prepared(node: Node, index: number): Prepared | undefined {
    const own = this.place.own(node, index);
    if (own) return { index, own, op: 0n, inputs: 0n, inputCount: 0, outputs: 0n, outputCount: 0 };
    if (opOf(node).view) return undefined;
    const request = this.requestFor(node, index);
    const { inputCount, outputCount } = request;
    const op = this.operators.of(index, request);
    const inputs = this.values.array(node.inputs.slice(0, inputCount), node, this.place.hostInputs(node));
    const outputs = this.values.array(node.outputs.slice(0, outputCount), node);
    return { index, op, inputs, inputCount, outputs, outputCount };
  }

  private requestFor(node: Node, index: number): OpRequest {
    const lane = this.place.laneOf?.(index);
    const request = requestOf(node, this.graph);
    return lane ? { ...request, lane } : request;
  }

  private async takeTurn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.turnBegan = performance.now();
  }
}

/** One execution of a step, turn by turn: how far it is, what it has timed and copied out. */
class Execution {
  /** ms of each node in schedule order; empty unless asked for. */
  readonly nodeMs: Float64Array;
  private readonly observed = new Map<string, Uint8Array>();
  private readonly observe: ReadonlySet<string>;
  /** The prepared node that runs next. */
  private next = 0;
  /** Nodes of the graph whose observed outputs have been copied out. */
  private taken = 0;
  /** Called before the first node of the update, which is at this index of the graph. */
  private beforeUpdate: (() => void) | undefined;
  private readonly updateIndex: number;

  constructor(
    private readonly graph: Graph,
    private readonly nodes: readonly Prepared[],
    private readonly place: Place,
    { timeNodes = false, observe = new Set(), beforeUpdate }: RunOptions,
  ) {
    this.updateIndex = beforeUpdate ? graph.nodes.findIndex(({ phase }) => phase === "update") : -1;
    this.beforeUpdate = this.updateIndex < 0 ? undefined : beforeUpdate;
    this.nodeMs = new Float64Array(timeNodes ? graph.nodes.length : 0);
    this.observe = observe;
  }

  get isDone(): boolean {
    return this.next >= this.nodes.length;
  }

  /** Runs nodes until the turn, which `began` then, is over or none is left. */
  turn(invoke: Invoke, began: number): void {
    const { nodes, place, nodeMs } = this;
    const isTimed = nodeMs.length > 0;
    const isWatched = this.observe.size > 0;
    const until = began + turnMs;
    let time = began;
    let { next } = this;
    while (next < nodes.length) {
      const node = nodes[next] as Prepared;
      if (this.beforeUpdate && node.index >= this.updateIndex) this.reachUpdate();
      try {
        if (place.around) place.around(node.index, () => invokeNode(invoke, node));
        else invokeNode(invoke, node);
      } catch (error) {
        const { name, op } = this.graph.nodes[node.index] as Node;
        throw new Error(`${(error as Error).message} (while running ${name}: ${op})`, { cause: error });
      }
      if (isTimed) nodeMs[node.index] = performance.now() - time;
      next++;
      // views that follow are complete too, and the next kernel may write over what they show
      if (isWatched) this.takeBefore(nodes[next]?.index ?? this.graph.nodes.length);
      if (isTimed || (next & 15) === 0) {
        time = performance.now();
        if (time > until) break;
      }
    }
    this.next = next;
  }

  private reachUpdate(): void {
    const { beforeUpdate } = this;
    this.beforeUpdate = undefined;
    beforeUpdate?.();
  }

  /** What was observed, by the names of the tensors. */
  allObserved(): ReadonlyMap<string, Uint8Array> {
    if (this.observe.size) this.takeBefore(this.graph.nodes.length);
    return this.observed;
  }

  /** Copies out what is observed of the nodes before the one at `end`. */
  private takeBefore(end: number): void {
    for (; this.taken < end; this.taken++)
      for (const name of this.graph.nodes[this.taken]?.outputs ?? [])
        if (this.observe.has(name)) this.observed.set(name, this.place.read(name));
  }
}
