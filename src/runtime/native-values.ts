import koffi from "koffi";
import { NodeError } from "../graph/errors.js";
import { type Graph, type Node, tensorBytes, tensorOf } from "../graph/graph.js";
import type { Kernels } from "./ort.js";
import { type Pointer, pointerArray } from "./ort-api.js";

/** Pointers that a block of arrays holds. */
const blockLength = 4096;

/** ONNX Runtime's values of a graph's tensors, made when they are first asked for, and the arrays that kernels take. */
export class NativeValues {
  private readonly onDevice = new Map<string, Pointer>();
  private readonly onHost = new Map<string, Pointer>();
  /** What native memory refers to. */
  private readonly kept: (BigUint64Array | Uint8Array)[] = [];
  /** Where arrays are laid side by side: memory of its own for each would take longer than to fill it. */
  private block: BigUint64Array = new BigUint64Array(0);
  private blockAddress: Pointer = 0n;
  /** Pointers of the block that are taken. */
  private taken = 0;

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
    const values = names.map((name, slot) => {
      if (!name) return 0n;
      return hostSlots.includes(slot) ? this.hostValue(name, node) : this.deviceValue(name);
    });
    if (this.taken + values.length > this.block.length || !this.blockAddress) this.addBlock(values.length);
    const address = this.blockAddress + BigInt(8 * this.taken);
    this.block.set(values, this.taken);
    this.taken += values.length;
    return address;
  }

  private addBlock(least: number): void {
    this.block = pointerArray(Array(Math.max(blockLength, least)).fill(0n));
    this.blockAddress = koffi.address(this.block) as Pointer;
    this.taken = 0;
    this.kept.push(this.block);
  }

  release(): void {
    for (const value of [...this.onDevice.values(), ...this.onHost.values()]) this.kernels.releaseValue(value);
    this.onDevice.clear();
    this.onHost.clear();
    this.kept.length = 0;
    this.block = new BigUint64Array(0);
    this.blockAddress = 0n;
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
