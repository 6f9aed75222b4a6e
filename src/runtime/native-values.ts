import koffi from "koffi";
import { NodeError } from "../graph/errors.js";
import { type Graph, type Node, tensorBytes, tensorOf } from "../graph/graph.js";
import type { Kernels } from "./ort.js";
import { type Pointer, pointerArray } from "./ort-api.js";

/** ONNX Runtime's values of a graph's tensors, made when they are first asked for, and the arrays that kernels take. */
export class NativeValues {
  private readonly onDevice = new Map<string, Pointer>();
  private readonly onHost = new Map<string, Pointer>();
  /** What native memory refers to. */
  private readonly kept: (BigUint64Array | Uint8Array)[] = [];

  constructor(
    private readonly graph: Graph,
    private readonly kernels: Pick<Kernels, "createValue" | "releaseValue">,
    /** Address of a tensor's first byte. */
    private readonly address: (name: string) => Pointer,
  ) {}

  /**
   * Address of an array of these tensors' values, null for absent ones; those in `hostSlots` are constants in the
   * host's memory. Throws if one of them is no constant.
   */
  array(names: readonly string[], node: Node, hostSlots: readonly number[] = []): Pointer {
    const array = pointerArray(
      names.map((name, slot) => {
        if (!name) return 0n;
        return hostSlots.includes(slot) ? this.hostValue(name, node) : this.deviceValue(name);
      }),
    );
    this.kept.push(array);
    return koffi.address(array) as Pointer;
  }

  release(): void {
    for (const value of [...this.onDevice.values(), ...this.onHost.values()]) this.kernels.releaseValue(value);
    this.onDevice.clear();
    this.onHost.clear();
    this.kept.length = 0;
  }

  private deviceValue(name: string): Pointer {
    const known = this.onDevice.get(name);
    if (known) return known;
    const tensor = tensorOf(this.graph, name);
    const value = this.kernels.createValue(this.address(name), tensorBytes(tensor), tensor);
    this.onDevice.set(name, value);
    return value;
  }

  private hostValue(name: string, node: Node): Pointer {
    const known = this.onHost.get(name);
    if (known) return known;
    const tensor = tensorOf(this.graph, name);
    if (!tensor.data) throw new NodeError(`a kernel reads ${name} on the host, and it is no constant`, node);
    const bytes = new Uint8Array(new ArrayBuffer(Math.max(8, tensor.data.length)));
    bytes.set(tensor.data);
    this.kept.push(bytes);
    const value = this.kernels.createValue(koffi.address(bytes) as Pointer, tensor.data.length, tensor, "host");
    this.onHost.set(name, value);
    return value;
  }
}
