import koffi from "koffi";
import { NodeError } from "../graph/errors.js";
import { type DType, type Graph, type Node, tensorBytes, tensorOf } from "../graph/graph.js";
import { opOf } from "../ops/index.js";
import type { Invoke, Kernels, OpRequest } from "./ort.js";
import { type Pointer, pointerArray } from "./ort-api.js";
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

/** The request for a node's kernel: type constraints of absent inputs and outputs are left out. */
export function requestOf(node: Node, graph: Pick<Graph, "tensors">): OpRequest {
  const types = new Map<string, DType>();
  const record = opOf(node);
  for (const [name, from] of Object.entries(record.types ?? {})) {
    if (typeof from === "string" && !/^y\d+$/.test(from)) types.set(name, from as DType);
    else {
      const tensor = typeof from === "number" ? node.inputs[from] : node.outputs[Number(from.slice(1))];
      const dtype = tensor ? graph.tensors.get(tensor)?.dtype : undefined;
      if (dtype) types.set(name, dtype);
    }
  }
  const used = (names: readonly string[]): number => names.findLastIndex((name) => name !== "") + 1;
  return {
    node: node.name,
    op: node.op,
    domain: node.domain,
    types,
    attributes: { ...record.defaults, ...node.attributes },
    inputCount: used(node.inputs),
    outputCount: used(node.outputs),
    since: record.since === "none" ? undefined : record.since,
  };
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
  /** Called around each node: what it says must run the call. */
  around?(index: number, call: () => void): void;
}

/** A graph's nodes with their kernels looked up, ready to be executed in list order. */
export interface PreparedStep {
  readonly nodes: readonly Prepared[];
  run(options?: RunOptions): Promise<StepResult>;
  /** Releases operators and values; not the memory. */
  release(): void;
}

/** Identifies the kernel of a node: op, types and attributes. */
export const kernelKey = (request: OpRequest): string =>
  JSON.stringify([
    request.domain,
    request.op,
    [...request.types],
    request.attributes,
    request.inputCount,
    request.outputCount,
  ]);

/** Runs a prepared node. */
export function invokeNode(invoke: Invoke, node: Prepared): void {
  if (node.own) node.own();
  else invoke(node.op, node.inputs, node.inputCount, node.outputs, node.outputCount);
}

/** Creates the values and operators of a graph's nodes. Throws `no kernel: …` with the node's name. */
export function prepareStep(graph: Graph, kernels: Kernels, place: Place): PreparedStep {
  const values = new Map<string, Pointer>();
  const ops = new Map<string, Pointer>();
  const kept: (BigUint64Array | Uint8Array)[] = [];
  let released = false;
  const release = (): void => {
    if (released) return;
    released = true;
    for (const op of ops.values()) kernels.releaseOp(op);
    for (const value of values.values()) kernels.releaseValue(value);
    kept.length = 0;
  };
  const deviceValue = (name: string): Pointer => {
    const known = values.get(name);
    if (known) return known;
    const tensor = tensorOf(graph, name);
    const value = kernels.createValue(place.address(name), tensorBytes(tensor), tensor);
    values.set(name, value);
    return value;
  };
  /** A constant that a kernel reads on the host. */
  const hostValue = (name: string, node: Node): Pointer => {
    const key = `host ${name}`;
    const known = values.get(key);
    if (known) return known;
    const tensor = tensorOf(graph, name);
    if (!tensor.data) throw new NodeError(`a kernel reads ${name} on the host, and it is no constant`, node);
    const bytes = new Uint8Array(new ArrayBuffer(Math.max(8, tensor.data.length)));
    bytes.set(tensor.data);
    kept.push(bytes);
    const value = kernels.createValue(koffi.address(bytes) as Pointer, tensor.data.length, tensor, "host");
    values.set(key, value);
    return value;
  };
  const pointers = (names: readonly string[], count: number, node: Node, onHost: readonly number[]): Pointer => {
    const array = pointerArray(
      names.slice(0, count).map((name, i) => {
        if (!name) return 0n;
        return onHost.includes(i) ? hostValue(name, node) : deviceValue(name);
      }),
    );
    kept.push(array);
    return koffi.address(array) as Pointer;
  };
  const shapeOf = (name: string): string => (name ? tensorOf(graph, name).shape.join() : "-");

  const nodes: Prepared[] = [];
  try {
    graph.nodes.forEach((node, index) => {
      const own = place.own(node, index);
      if (!own && opOf(node).view) return;
      if (own) {
        nodes.push({ index, own, op: 0n, inputs: 0n, inputCount: 0, outputs: 0n, outputCount: 0 });
        return;
      }
      const request = requestOf(node, graph);
      const shapes = place.kernelsKnowShapes ? [...node.inputs, "", ...node.outputs].map(shapeOf).join(";") : "";
      // stateful kernels (packed weights, random generators) must not be shared between nodes
      const key = `${kernelKey(request)}${shapes}${opOf(node).random ? `#${index}` : ""}`;
      let op = ops.get(key);
      if (op === undefined) {
        try {
          op = kernels.createOp(request);
        } catch (error) {
          throw NodeError.of(error, node);
        }
        ops.set(key, op);
      }
      nodes.push({
        index,
        op,
        inputs: pointers(node.inputs, request.inputCount, node, place.hostInputs(node)),
        inputCount: request.inputCount,
        outputs: pointers(node.outputs, request.outputCount, node, []),
        outputCount: request.outputCount,
      });
    });
  } catch (error) {
    release();
    throw error;
  }

  /** Nodes after which something is observed, with the names of the tensors; views are complete with their producer. */
  const observers = (observe: ReadonlySet<string>): Map<number, string[]> => {
    const after = new Map<number, string[]>();
    graph.nodes.forEach((node, index) => {
      const names = node.outputs.filter((name) => observe.has(name));
      if (names.length) after.set(index, names);
    });
    return after;
  };

  /** When timers and signals had their turn last: many short steps must leave them one too. */
  let turnBegan = performance.now();
  const takeTurn = async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    turnBegan = performance.now();
  };

  const run = async (options: RunOptions = {}): Promise<StepResult> => {
    if (released) throw new Error("the step is closed");
    if (performance.now() - turnBegan > turnMs) await takeTurn();
    const nodeMs = new Float64Array(options.timeNodes ? graph.nodes.length : 0);
    const observed = new Map<string, Uint8Array>();
    const watching = observers(options.observe ?? new Set());
    const take = (index: number): void => {
      for (const name of watching.get(index) ?? []) observed.set(name, place.read(name));
    };
    let stepMs = 0;
    let next = 0;
    let taken = 0;
    while (next < nodes.length || next === 0) {
      options.signal?.throwIfAborted();
      const began = performance.now();
      kernels.within((invoke) => {
        let time = began;
        const until = began + turnMs;
        for (; next < nodes.length; next++) {
          const prepared = nodes[next] as Prepared;
          const { index } = prepared;
          try {
            if (place.around) place.around(index, () => invokeNode(invoke, prepared));
            else invokeNode(invoke, prepared);
          } catch (error) {
            const node = graph.nodes[index] as Node;
            throw new Error(`${(error as Error).message} (while running ${node.name}: ${node.op})`, { cause: error });
          }
          if (options.timeNodes) nodeMs[index] = performance.now() - time;
          if (watching.size)
            // views that follow are complete too, and the next kernel may write over what they show
            for (const end = nodes[next + 1]?.index ?? graph.nodes.length; taken < end; taken++) take(taken);
          if (options.timeNodes || (next & 15) === 15) {
            time = performance.now();
            if (time > until) {
              next++;
              break;
            }
          }
        }
      });
      stepMs += performance.now() - began;
      if (next >= nodes.length) break;
      await takeTurn();
    }
    for (; taken < graph.nodes.length; taken++) take(taken);
    return { stepMs, nodeMs, observed };
  };

  return { nodes, run, release };
}
