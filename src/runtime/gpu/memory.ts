import { formatBytes } from "../../format.js";
import { type Graph, tensorBytes, tensorOf } from "../../graph/graph.js";
import type { Layout } from "../../memory/layout.js";
import { checkPinned } from "../host-memory.js";
import type { Pointer } from "../ort-api.js";
import type { Cuda } from "./cuda.js";
import type { Releases } from "./releases.js";

/** Where the values of a step lie: its arena on the device, and pinned memory of the host for what is swapped out. */
export class StepMemory {
  /** The arena's first byte. */
  readonly arena: Pointer;
  private readonly pinned: Pointer;

  /** Allocates both. Throws `out of memory: …` if the device has not enough. */
  constructor(
    private readonly graph: Graph,
    private readonly layout: Layout,
    private readonly gpu: {
      readonly cuda: Pick<
        Cuda,
        | "name"
        | "freeBytes"
        | "malloc"
        | "free"
        | "hostAlloc"
        | "hostFree"
        | "wait"
        | "read"
        | "write"
        | "readHost"
        | "writeHost"
      >;
      readonly stream: Pointer;
    },
    releases: Releases,
  ) {
    const { cuda } = gpu;
    const free = cuda.freeBytes();
    if (layout.arenaBytes > free)
      throw new Error(
        `out of memory: the step's values need ${formatBytes(layout.arenaBytes)}, ${cuda.name} has ${formatBytes(free)} free`,
      );
    checkPinned(layout.hostBytes);
    const arena = cuda.malloc(layout.arenaBytes);
    releases.add(() => cuda.free(arena));
    const pinned = layout.hostBytes ? cuda.hostAlloc(layout.hostBytes) : 0n;
    if (pinned) releases.add(() => cuda.hostFree(pinned));
    this.arena = arena;
    this.pinned = pinned;
  }

  /** Address of a tensor's first byte. */
  readonly address = (name: string): Pointer => {
    const onHost = this.layout.hostOffsets.get(name);
    const offset = onHost ?? this.layout.offsets.get(name);
    if (offset === undefined) throw new Error(`no place for tensor: ${name}`);
    return (onHost === undefined ? this.arena : this.pinned) + BigInt(offset);
  };

  /** Copies a tensor's bytes out, when all that was started before is done. */
  readonly read = (name: string): Uint8Array => {
    const bytes = new Uint8Array(new ArrayBuffer(tensorBytes(tensorOf(this.graph, name))));
    this.gpu.cuda.wait(this.gpu.stream);
    const { cuda } = this.gpu;
    if (!bytes.length) return bytes;
    if (this.layout.hostOffsets.has(name)) cuda.readHost(bytes, this.address(name));
    else cuda.read(bytes, this.address(name));
    return bytes;
  };

  /** Writes a tensor's value, when all that was started before is done. Throws if the size differs. */
  write(name: string, data: Uint8Array): void {
    const bytes = tensorBytes(tensorOf(this.graph, name));
    if (data.length !== bytes) throw new Error(`value of ${name} has ${data.length} bytes, not ${bytes}`);
    this.gpu.cuda.wait(this.gpu.stream);
    const { cuda } = this.gpu;
    if (!bytes) return;
    if (this.layout.hostOffsets.has(name)) cuda.writeHost(this.address(name), data);
    else cuda.write(this.address(name), data);
  }

  /** Writes the constants that lie in the arena. */
  writeConstants(): void {
    for (const tensor of this.graph.tensors.values())
      if (tensor.category === "constant" && tensor.data?.length && this.layout.offsets.has(tensor.name))
        this.gpu.cuda.write(this.address(tensor.name), tensor.data);
  }
}
