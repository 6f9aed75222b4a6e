import koffi from "koffi";
import { bytesPerElement, type DType, elementCount, type Graph, type Node, tensorBytes, tensorOf } from "../graph.js";
import type { Layout } from "../layout.js";
import { opOf } from "../ops/index.js";
import { measureOnHost } from "./measure.js";
import { type Invoke, type Kernels, type OpRequest, type Pointer, pointerArray } from "./ort.js";
import type { LoadedStep, RunOptions, StepResult } from "./runtime.js";

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
  for (const [name, from] of Object.entries(opOf(node).types ?? {})) {
    if (typeof from === "string" && !/^y\d+$/.test(from)) types.set(name, from as DType);
    else {
      const tensor = typeof from === "number" ? node.inputs[from] : node.outputs[Number(from.slice(1))];
      const dtype = tensor ? graph.tensors.get(tensor)?.dtype : undefined;
      if (dtype) types.set(name, dtype);
    }
  }
  const used = (names: readonly string[]): number => names.findLastIndex((name) => name !== "") + 1;
  return {
    op: node.op,
    domain: node.domain,
    types,
    attributes: { ...opOf(node).defaults, ...node.attributes },
    inputCount: used(node.inputs),
    outputCount: used(node.outputs),
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
    if (!tensor.data) throw new Error(`a kernel reads ${name} on the host, and it is no constant (node ${node.name})`);
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
          throw new Error(`${(error as Error).message} (node ${node.name})`, { cause: error });
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

/** Allocates a graph's arena in the host's memory, and runs its nodes in list order. */
export function loadStep(
  graph: Graph,
  layout: Layout,
  kernels: Kernels,
  openFresh: () => Kernels,
): LoadedStep & { runNow(): void } {
  // 64 bytes more, so that the arena can start on a cache line
  const memory = new ArrayBuffer(layout.arenaBytes + 64);
  const start = koffi.address(memory) as Pointer;
  const shift = Number((64n - (start % 64n)) % 64n);
  const offsetOf = (name: string): number => {
    const offset = layout.offsets.get(name);
    if (offset === undefined) throw new Error(`no place for tensor: ${name}`);
    return offset + shift;
  };
  // host and device are one here: swapped tensors lie in a second buffer
  const host = new ArrayBuffer(layout.hostBytes);
  const bytesOf = (name: string): Uint8Array => {
    const tensor = tensorOf(graph, name);
    const place = tensor.host ? layout.hostOffsets.get(name) : offsetOf(name);
    if (place === undefined) throw new Error(`no place for tensor: ${name}`);
    return new Uint8Array(tensor.host ? host : memory, place, tensorBytes(tensor));
  };

  /**
   * Concat as copies of contiguous rows: a kernel called by itself sees one input only of those that an op takes in any
   * number (InvokeOp in 1.29 counts each of them as an input of its own).
   */
  const concatenation = (node: Node): (() => void) => {
    const name = node.outputs[0] as string;
    const { shape, dtype } = tensorOf(graph, name);
    const given = (node.attributes.axis?.value as number | undefined) ?? 0;
    const axis = given < 0 ? given + shape.length : given;
    const rows = elementCount(shape.slice(0, axis));
    const inner = elementCount(shape.slice(axis + 1)) * bytesPerElement(dtype);
    const target = bytesOf(name);
    let start = 0;
    const parts = node.inputs.map((input) => {
      const width = (tensorOf(graph, input).shape[axis] as number) * inner;
      start += width;
      return { source: bytesOf(input), width, start: start - width };
    });
    const stride = start;
    return () => {
      for (const { source, width, start } of parts)
        for (let row = 0; row < rows; row++)
          target.set(source.subarray(row * width, (row + 1) * width), row * stride + start);
    };
  };

  /** A copy that is complete when it returns, so that the waits, which are views, have nothing to do. */
  const transfer = (node: Node): (() => void) => {
    const [source, target] = [bytesOf(node.inputs[0] as string), bytesOf(node.outputs[0] as string)];
    return () => target.set(source);
  };

  const read = (name: string): Uint8Array => bytesOf(name).slice();
  const step = prepareStep(graph, kernels, {
    address: (name) => start + BigInt(offsetOf(name)),
    read,
    own: (node) => {
      const { swap } = opOf(node);
      if (swap === "out" || swap === "in") return transfer(node);
      return node.op === "Concat" && node.domain === "" ? concatenation(node) : undefined;
    },
    hostInputs: () => [],
    kernelsKnowShapes: false,
  });
  for (const tensor of graph.tensors.values())
    if (tensor.category === "constant" && tensor.data && layout.offsets.has(tensor.name))
      bytesOf(tensor.name).set(tensor.data);

  /**
   * Runs one more step. The first node of each kind (op, attributes, shapes) runs in a session of its own, whose
   * allocator then says what its kernel took at most: a session's own maximum could not be reset between nodes.
   */
  const workspaceBytes = async (): Promise<Float64Array | null> => {
    const bytes = new Float64Array(graph.nodes.length);
    const known = new Map<string, number>();
    for (const prepared of step.nodes) {
      const { index, own, inputs, inputCount, outputs, outputCount } = prepared;
      if (own) {
        own();
        continue;
      }
      const node = graph.nodes[index] as Node;
      const shape = (name: string): string => (name ? tensorOf(graph, name).shape.join() : "-");
      const kind = JSON.stringify([
        node.domain,
        node.op,
        node.attributes,
        node.inputs.map(shape),
        node.outputs.map(shape),
      ]);
      const found = known.get(kind);
      if (found !== undefined) {
        kernels.within((invoke) => invokeNode(invoke, prepared));
        bytes[index] = found;
        continue;
      }
      const fresh = openFresh();
      try {
        const own = fresh.createOp(requestOf(node, graph));
        const before = fresh.allocations();
        fresh.within((invoke) => invoke(own, inputs, inputCount, outputs, outputCount));
        const after = fresh.allocations();
        fresh.releaseOp(own);
        if (!before || !after) return null;
        bytes[index] = Math.max(0, after.maxInUse - before.inUse);
        known.set(kind, bytes[index] as number);
      } finally {
        fresh.close();
      }
      if (known.size % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    return bytes;
  };

  return {
    runNow() {
      kernels.within((invoke) => {
        for (const node of step.nodes) invokeNode(invoke, node);
      });
    },
    allocatedBytes: memory.byteLength - 64,
    write(name, data) {
      const place = bytesOf(name);
      if (data.length !== place.length)
        throw new Error(`value of ${name} has ${data.length} bytes, not ${place.length}`);
      place.set(data);
    },
    read,
    run: step.run,
    measure: (options) => measureOnHost(graph, { run: step.run, read }, workspaceBytes, options),
    close: step.release,
  };
}
