import os from "node:os";
import koffi from "koffi";
import { formatBytes } from "../format.js";
import { type Graph, tensorBytes, tensorOf } from "../graph/graph.js";
import { homeOf } from "../memory/homes.js";
import type { Layout } from "../memory/layout.js";
import { askForHugePages } from "./huge-pages.js";
import type { Pointer } from "./ort-api.js";

/** The arena starts on a cache line. */
const lineBytes = 64n;

/** Less is not asked for: it is there, and asking takes time. */
const littleBytes = 2 ** 26;

/** Bytes that this process can still have; macOS counts what it would give back as used. */
export const freeHostBytes = (): number => (process.platform === "darwin" ? os.totalmem() : process.availableMemory());

/** Throws `out of memory: …` where the machine has not so many bytes left for a step's values. */
export function checkHostMemory(bytes: number): void {
  if (bytes <= littleBytes) return;
  const free = freeHostBytes();
  if (bytes <= free) return;
  throw new Error(
    `out of memory: the step's values need ${formatBytes(bytes)}, this machine has ${formatBytes(free)} free; bind smaller dimensions, or let --backend estimate plan without running it`,
  );
}

/** Bytes that may be pinned for a device: of what this process can still have, a tenth is left alone. */
export const pinnableBytes = (): number => Math.floor(0.9 * freeHostBytes());

/** Throws `out of memory: …` where the host has not so many bytes left to pin for what a step swaps out. */
export function checkPinned(bytes: number): void {
  if (bytes <= littleBytes || bytes <= pinnableBytes()) return;
  throw new Error(
    `out of memory: what the step swaps out needs ${formatBytes(bytes)} of the host's memory, pinned; ${formatBytes(pinnableBytes())} can be had (--host-memory bounds what a plan swaps)`,
  );
}

/** A graph's arena in the host's memory. Host and device are one here: swapped tensors lie in a second buffer. */
export class HostMemory {
  private readonly arena: ArrayBuffer;
  private readonly swapped: ArrayBuffer;
  private readonly start: Pointer;
  /** Bytes before the first cache line. */
  private readonly shift: number;

  /** Allocates both. Throws `out of memory: …` where the machine has not enough. */
  constructor(
    private readonly graph: Graph,
    private readonly layout: Layout,
  ) {
    checkHostMemory(layout.arenaBytes + layout.hostBytes);
    this.arena = new ArrayBuffer(layout.arenaBytes + Number(lineBytes));
    this.swapped = new ArrayBuffer(layout.hostBytes);
    this.start = koffi.address(this.arena) as Pointer;
    askForHugePages(this.start, layout.arenaBytes);
    this.shift = Number((lineBytes - (this.start % lineBytes)) % lineBytes);
    for (const { name, category, data } of graph.tensors.values())
      if (category === "constant" && data && layout.offsets.has(name)) this.bytesOf(name).set(data);
  }

  /** Bytes of the arena. */
  get allocatedBytes(): number {
    return this.layout.arenaBytes;
  }

  /** Address of the first byte of a tensor in the arena. */
  address(name: string): Pointer {
    return this.start + BigInt(this.offsetOf(name));
  }

  /** A tensor's bytes where they lie. */
  bytesOf(name: string): Uint8Array {
    const tensor = tensorOf(this.graph, name);
    if (!tensor.host) return new Uint8Array(this.arena, this.offsetOf(name), tensorBytes(tensor));
    return new Uint8Array(this.swapped, known(this.layout.hostOffsets, name), tensorBytes(tensor));
  }

  /** A copy of a tensor's bytes. */
  read(name: string): Uint8Array {
    return this.bytesOf(name).slice();
  }

  /** A tensor's bytes where they lie between steps. */
  valueOf(name: string): Uint8Array {
    const { tensor, offsetBytes } = homeOf(this.graph, name);
    return this.bytesOf(tensor).subarray(offsetBytes, offsetBytes + tensorBytes(tensorOf(this.graph, name)));
  }

  /** Writes a tensor's bytes where they lie between steps. Throws if the size differs. */
  write(name: string, data: Uint8Array): void {
    const place = this.valueOf(name);
    if (data.length !== place.length) throw new Error(`value of ${name} has ${data.length} bytes, not ${place.length}`);
    place.set(data);
  }

  private offsetOf(name: string): number {
    return known(this.layout.offsets, name) + this.shift;
  }
}

function known(offsets: ReadonlyMap<string, number>, name: string): number {
  const offset = offsets.get(name);
  if (offset === undefined) throw new Error(`no place for tensor: ${name}`);
  return offset;
}
