"""What one GPU's memory looks like from outside, as nvidia-smi sees it: polls NVML every 2 ms until stdin ends.

usage: python3 watch_memory.py [device]
Prints one JSON object, bytes: in use on the device before and at most, and for each process the most that it held.
"""
import ctypes
import json
import select
import sys
import time


class Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class Process(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_uint), ("used", ctypes.c_ulonglong), ("gpu", ctypes.c_uint), ("compute", ctypes.c_uint)]


def main(index):
    nvml = ctypes.CDLL("libnvidia-ml.so.1")
    device = ctypes.c_void_p()
    assert nvml.nvmlInit_v2() == 0 and nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)) == 0

    def used():
        memory = Memory()
        assert nvml.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory)) == 0
        return memory.used

    def processes():
        count, found = ctypes.c_uint(64), (Process * 64)()
        if nvml.nvmlDeviceGetComputeRunningProcesses_v3(device, ctypes.byref(count), found) != 0:
            return {}
        return {p.pid: p.used for p in found[: count.value] if p.used < 1 << 60}

    before, most, each = used(), used(), {}
    print("watching", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        most = max(most, used())
        for pid, held in processes().items():
            each[pid] = max(each.get(pid, 0), held)
        time.sleep(0.002)
    print(json.dumps({"before": before, "most": most, "processes": each}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
