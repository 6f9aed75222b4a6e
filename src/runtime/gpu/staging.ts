import { type Graph, tensorBytes, tensorOf } from "../../graph/graph.js";
import type { Pointer } from "../ort-api.js";
import type { Gpu } from "./context.js";
import { onDevice, toDevice } from "./cuda.js";
import type { Releases } from "./releases.js";

/** Inputs begin at multiples of so many bytes. */
const alignment = 256;

/** Pinned memory of the host with the inputs of one step, and the event after their copy to the device. */
interface Slot {
  readonly at: Pointer;
  readonly copied: Pointer;
  isUsed: boolean;
}

/**
 * Inputs on their way to the device beside the step that runs: the host puts them into pinned memory, a stream of its own
 * copies them into memory of the device beside the arena, and the next step begins by copying them to where it reads them.
 * Two places on the host take turns, so that one can be filled while the other is being copied. All memory is taken when
 * the first values come.
 */
export class Staging {
  /** Bytes that it takes on the device. */
  bytes = 0;
  private readonly offsets = new Map<string, number>();
  private readonly size: number;
  private parts:
    | {
        readonly stream: Pointer;
        readonly device: Pointer;
        readonly taken: Pointer;
        readonly slots: readonly [Slot, Slot];
      }
    | undefined;
  private turn = 0;
  /** Whether `taken` has been recorded. */
  private isTaken = false;
  /** The slot whose values the next step takes. */
  private pending: Slot | undefined;

  constructor(
    private readonly graph: Graph,
    private readonly address: (name: string) => Pointer,
    private readonly gpu: Pick<Gpu, "cuda" | "stream">,
    private readonly releases: Releases,
  ) {
    let size = 0;
    for (const name of graph.inputs) {
      this.offsets.set(name, size);
      size += Math.ceil(tensorBytes(tensorOf(graph, name)) / alignment) * alignment;
    }
    this.size = size;
  }

  /** Sends the values of all inputs. Throws for a missing one, and for one of another size. */
  put(values: ReadonlyMap<string, Uint8Array>): void {
    const { cuda } = this.gpu;
    for (const name of this.graph.inputs) {
      const bytes = tensorBytes(tensorOf(this.graph, name));
      const given = values.get(name)?.length;
      if (given !== bytes) throw new Error(`value of ${name} has ${given ?? "no"} bytes, not ${bytes}`);
    }
    const { stream, device, taken, slots } = this.opened();
    this.turn = 1 - this.turn;
    const slot = slots[this.turn] as Slot;
    // its last copy was two steps ago
    if (slot.isUsed) cuda.waitOnHost(slot.copied);
    for (const [name, offset] of this.offsets) cuda.writeHost(slot.at + BigInt(offset), values.get(name) as Uint8Array);
    if (this.isTaken) cuda.waitFor(stream, taken);
    cuda.copy(device, slot.at, this.size, toDevice, stream);
    cuda.record(slot.copied, stream);
    slot.isUsed = true;
    this.pending = slot;
  }

  /** In the stream of the kernels: waits for what was sent last, and brings it to where the step reads it. */
  take(): void {
    const { pending, parts } = this;
    if (!pending || !parts) return;
    const { cuda, stream } = this.gpu;
    cuda.waitFor(stream, pending.copied);
    for (const [name, offset] of this.offsets) {
      const bytes = tensorBytes(tensorOf(this.graph, name));
      if (bytes) cuda.copy(this.address(name), parts.device + BigInt(offset), bytes, onDevice, stream);
    }
    cuda.record(parts.taken, stream);
    this.isTaken = true;
    this.pending = undefined;
  }

  private opened(): NonNullable<Staging["parts"]> {
    if (this.parts) return this.parts;
    const { cuda } = this.gpu;
    const { releases, size } = this;
    const stream = cuda.stream();
    releases.add(() => cuda.destroyStream(stream));
    const device = cuda.malloc(size);
    releases.add(() => cuda.free(device));
    const event = (): Pointer => {
      const made = cuda.event(false);
      releases.add(() => cuda.destroyEvent(made));
      return made;
    };
    const slot = (): Slot => {
      const at = cuda.hostAlloc(size);
      releases.add(() => cuda.hostFree(at));
      return { at, copied: event(), isUsed: false };
    };
    // given back in turn: nothing is freed before the copies are done
    this.parts = { stream, device, taken: event(), slots: [slot(), slot()] };
    releases.add(() => cuda.wait(stream));
    this.bytes = size;
    return this.parts;
  }
}
