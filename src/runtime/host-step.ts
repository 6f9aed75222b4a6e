import koffi from "koffi";
import { bytesPerElement, elementCount, type Graph, type Node, tensorBytes, tensorOf } from "../graph/graph.js";
import type { Layout } from "../memory/layout.js";
import { opOf } from "../ops/index.js";
import { invokeNode, prepareStep, requestOf } from "./interpreter.js";
import { measureOnHost } from "./measure.js";
import type { Kernels } from "./ort.js";
import type { Pointer } from "./ort-api.js";
import type { LoadedStep } from "./runtime.js";

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
