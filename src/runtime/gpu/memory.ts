import { formatBytes } from "../../format.js";
import { type Graph, tensorBytes, tensorOf } from "../../graph/graph.js";
import { type Home, homeOf } from "../../memory/homes.js";
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
  readonly read = (name: string): Uint8Array => this.taken(name, { tensor: name, offsetBytes: 0 });

  /** The same of its value between steps: of a state that is on the device only while it is used from the host. */
  readonly readValue = (name: string): Uint8Array => this.taken(name, homeOf(this.graph, name));

  private taken(name: string, { tensor, offsetBytes }: Home): Uint8Array {
    const { cuda, stream } = this.gpu;
    const bytes = new Uint8Array(new ArrayBuffer(tensorBytes(tensorOf(this.graph, name))));
    cuda.wait(stream);
    const at = this.address(tensor) + BigInt(offsetBytes);
    if (!bytes.length) return bytes;
    if (this.isOnHost(tensor)) cuda.readHost(bytes, at);
    else cuda.read(bytes, at);
    return bytes;
  }

  private isOnHost(tensor: string): boolean {
    return this.layout.hostOffsets.has(tensor);
  }

  /** Writes a tensor's value between steps, when all that was started before is done. Throws if the size differs. */
  write(name: string, data: Uint8Array): void {
    const bytes = tensorBytes(tensorOf(this.graph, name));
    if (data.length !== bytes) throw new Error(`value of ${name} has ${data.length} bytes, not ${bytes}`);
    const { cuda, stream } = this.gpu;
    const { tensor, offsetBytes } = homeOf(this.graph, name);
    const at = this.address(tensor) + BigInt(offsetBytes);
    cuda.wait(stream);
    if (!bytes) return;
    if (this.isOnHost(tensor)) cuda.writeHost(at, data);
    else cuda.write(at, data);
  }

  /** Writes the constants that lie in the arena. */
  writeConstants(): void {
    for (const tensor of this.graph.tensors.values())
      if (tensor.category === "constant" && tensor.data?.length && this.layout.offsets.has(tensor.name))
        this.gpu.cuda.write(this.address(tensor.name), tensor.data);
  }
}
