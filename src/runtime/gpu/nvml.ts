import { NativeLibrary } from "../native-library.js";

/** What the driver says of a device's memory, seen from outside of any process. */
export interface Nvml {
  /** Bytes in use on the device, by whomever. */
  usedBytes(): number;
  /** Bytes that each process holds on it, by process number; empty where the driver does not tell processes apart. */
  processes(): ReadonlyMap<number, number>;
}

/** nvmlProcessInfo_t: a number of 32 bits, bytes, two instance numbers. */
const infoBytes = 24;

const mostProcesses = 256;

/**
 * Opens the driver's management library for the device with that PCI address; null where it is not there. It needs no
 * context, so it can say what was in use before this process used the device.
 */
export function openNvml(busId: string): Nvml | null {
  try {
    const library = new NativeLibrary("libnvidia-ml.so.1");
    const init = library.function("int nvmlInit_v2()");
    const byBus = library.function("int nvmlDeviceGetHandleByPciBusId_v2(const char *id, _Out_ uintptr_t *device)");
    const memory = library.function("int nvmlDeviceGetMemoryInfo(uintptr_t device, _Out_ uint64_t *info)");
    const list = library.function(
      "int nvmlDeviceGetComputeRunningProcesses_v3(uintptr_t device, _Inout_ uint32_t *count, _Out_ uint64_t *infos)",
    );
    const handle: [unknown] = [null];
    if (init() !== 0 || byBus(busId, handle) !== 0) return null;
    const device = BigInt(handle[0] as number | bigint);
    return {
      usedBytes() {
        const info = new BigUint64Array(new ArrayBuffer(24)); // total, free, used
        return memory(device, info) === 0 ? Number(info[2]) : Number.NaN;
      },
      processes() {
        const infos = new BigUint64Array(new ArrayBuffer(infoBytes * mostProcesses));
        const count = [mostProcesses];
        if (list(device, count, infos) !== 0) return new Map();
        const all = Array.from({ length: count[0] as number }, (_, i): [number, bigint] => [
          Number((infos[3 * i] as bigint) & 0xffffffffn),
          infos[3 * i + 1] as bigint,
        ]);
        // "not available" is the largest number
        return new Map(all.filter(([, bytes]) => bytes < 1n << 60n).map(([id, bytes]) => [id, Number(bytes)]));
      },
    };
  } catch {
    return null;
  }
}

/**
 * Which of the processes on a device this one is: by its number, or in a container, where it has another one outside, as
 * the only one that was not there before its context was; null where that cannot be told.
 */
export function ownProcess(
  before: ReadonlyMap<number, number>,
  after: ReadonlyMap<number, number>,
  own = process.pid,
): number | null {
  const added = [...after.keys()].filter((id) => !before.has(id));
  if (added.includes(own)) return own;
  return added.length === 1 ? (added[0] as number) : null;
}
