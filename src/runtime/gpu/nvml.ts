import { NativeLibrary } from "../native-library.js";

/** What the driver says of a device's memory, seen from outside of any process. */
export interface Nvml {
  /** Bytes in use on the device, by whomever. */
  usedBytes(): number;
  /** Bytes that this process holds; null where the driver does not tell processes apart (in some containers). */
  processBytes(): number | null;
}

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
    const processes = library.function(
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
      processBytes() {
        // nvmlProcessInfo_t: pid, bytes, two instance numbers: 24 bytes
        const most = 64;
        const infos = new BigUint64Array(new ArrayBuffer(24 * most));
        const count = [most];
        if (processes(device, count, infos) !== 0) return null;
        for (let i = 0; i < (count[0] as number); i++)
          if (Number((infos[3 * i] as bigint) & 0xffffffffn) === process.pid) {
            const bytes = infos[3 * i + 1] as bigint;
            return bytes < 1n << 60n ? Number(bytes) : null; // "not available" is the largest number
          }
        return null;
      },
    };
  } catch {
    return null;
  }
}
