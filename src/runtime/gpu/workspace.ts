import type { Pointer } from "../ort-api.js";
import type { Cuda } from "./cuda.js";

/** Every piece starts on such a boundary, as cudaMalloc's do at least. */
const alignment = 256;

const aligned = (bytes: number): number => Math.ceil(Math.max(bytes, 1) / alignment) * alignment;

/**
 * Device memory that kernels take for themselves while they run: one region, in which pieces are stacked and given back.
 * All kernels run in one stream, so a piece may be taken again as soon as the call that took it is over. What is taken
 * between calls (by a kernel that is being created) stays, in memory of its own.
 */
export interface Workspace {
  take(bytes: number): Pointer;
  giveBack(memory: Pointer): void;
  /**
   * Runs a kernel call and returns the most bytes that it had taken at one time. `idle` is memory of the arena in which
   * nothing lives during the call: it is used first.
   */
  during(call: () => void, idle?: Idle): number;
  /** Bytes that the call may take without any memory being added. */
  readonly availableBytes: number;
  /** Most bytes that calls had taken at one time since the last `settle`. */
  readonly mostBytes: number;
  /** Bytes held on the device: the region, what did not fit into it, and what is held between calls. */
  readonly heldBytes: number;
  /** Whether the call has been given what lies idle in the arena: in a step's first run it has not. */
  readonly settled: boolean;
  /** Changes when the region moves: addresses in captured graphs are then no longer valid. */
  readonly version: number;
  /** Makes the region as large as was needed and frees the rest; nothing may be running. */
  settle(): void;
  /** Frees everything. */
  close(): void;
}

/** A piece of memory. */
export interface Idle {
  readonly at: Pointer;
  readonly bytes: number;
}

/** An empty workspace on a device. */
export function openWorkspace(cuda: Cuda): Workspace {
  let region: Pointer = 0n;
  let capacity = 0;
  let top = 0;
  let inUse = 0;
  let callMost = 0;
  let most = 0;
  let version = 0;
  let calls = 0;
  let idle: Idle = { at: 0n, bytes: 0 };
  let idleTop = 0;
  let settled = false;
  let idleTaken = 0;
  /** Pieces of the region, in order, with where they begin; freed ones wait for those above them. */
  const stack: { at: Pointer; start: number; freed: boolean }[] = [];
  /** Pieces of their own: beyond the region's end (kept for further calls), and those taken between calls. */
  const beyond = new Map<Pointer, { bytes: number; taken: boolean }>();
  const lasting = new Map<Pointer, number>();
  const sum = (values: Iterable<number>): number => [...values].reduce((total, bytes) => total + bytes, 0);

  let callTaken = 0;
  const grow = (bytes: number): void => {
    inUse += bytes;
    callTaken += bytes;
    callMost = Math.max(callMost, callTaken);
    most = Math.max(most, inUse);
  };
  return {
    take(wanted) {
      const bytes = aligned(wanted);
      if (!calls) {
        const at = cuda.malloc(bytes);
        lasting.set(at, bytes);
        return at;
      }
      if (idleTop + bytes <= idle.bytes) {
        const at = idle.at + BigInt(idleTop);
        idleTop += bytes;
        idleTaken++;
        callTaken += bytes;
        callMost = Math.max(callMost, callTaken);
        return at;
      }
      if (top + bytes <= capacity) {
        const at = region + BigInt(top);
        stack.push({ at, start: top, freed: false });
        top += bytes;
        grow(bytes);
        return at;
      }
      const free = [...beyond].find(([, piece]) => !piece.taken && piece.bytes >= bytes);
      const at = free ? free[0] : cuda.malloc(bytes);
      const size = free ? free[1].bytes : bytes;
      beyond.set(at, { bytes: size, taken: true });
      grow(size);
      return at;
    },
    giveBack(at) {
      if (at >= idle.at && at < idle.at + BigInt(idle.bytes)) {
        if (idleTaken > 0 && --idleTaken === 0) idleTop = 0;
        return;
      }
      const piece = beyond.get(at);
      if (piece) {
        piece.taken = false;
        inUse -= piece.bytes;
        callTaken -= piece.bytes;
        return;
      }
      if (lasting.delete(at)) {
        cuda.free(at);
        return;
      }
      const found = stack.findLast((one) => one.at === at && !one.freed);
      if (!found) return;
      found.freed = true;
      while (stack.at(-1)?.freed) {
        const { start } = stack.pop() as { start: number };
        inUse -= top - start;
        callTaken -= top - start;
        top = start;
      }
    },
    during(call, given) {
      callMost = 0;
      callTaken = 0;
      calls++;
      settled = given !== undefined;
      idle = given ?? { at: 0n, bytes: 0 };
      idleTop = 0;
      idleTaken = 0;
      try {
        call();
      } finally {
        calls--;
      }
      return callMost;
    },
    get availableBytes() {
      return Math.max(idle.bytes - idleTop, capacity - top);
    },
    get mostBytes() {
      return most;
    },
    get heldBytes() {
      return capacity + sum([...beyond.values()].map((piece) => piece.bytes)) + sum(lasting.values());
    },
    get settled() {
      return settled;
    },
    get version() {
      return version;
    },
    settle() {
      if (stack.length || [...beyond.values()].some((piece) => piece.taken)) return;
      if (most !== capacity || beyond.size) {
        for (const at of beyond.keys()) cuda.free(at);
        beyond.clear();
        if (region) cuda.free(region);
        region = 0n;
        capacity = 0;
        if (most) region = cuda.malloc(most);
        capacity = most;
        version++;
      }
      most = 0;
    },
    close() {
      for (const at of [...beyond.keys(), ...lasting.keys()]) cuda.free(at);
      beyond.clear();
      lasting.clear();
      if (region) cuda.free(region);
      region = 0n;
      capacity = 0;
    },
  };
}
