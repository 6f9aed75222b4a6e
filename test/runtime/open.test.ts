import assert from "node:assert/strict";
import { test } from "node:test";
import { openRuntime } from "../../src/runtime/open.js";
import { at } from "../at.js";

test("openRuntime(backend) opens the CPU with that many threads, and a recording's device", () => {
  const cpu = openRuntime("cpu", { threads: 3, tf32: true });
  assert.deepEqual([cpu.backend, cpu.device.threads], ["cpu", 3]);
  cpu.close();
  const replay = openRuntime(`replay:${at("recordings", "resnet50.recording")}`);
  assert.equal(replay.backend, "replay");
  assert.match(replay.device.name, /NVIDIA/);
  replay.close();
});

test("openRuntime(backend) refuses a backend that it does not know, and options of another one", () => {
  assert.throws(() => openRuntime("tpu"), {
    message: "unknown backend: tpu (one of cpu, cuda, estimate, replay:FILE)",
  });
  assert.throws(() => openRuntime("cpu", { device: 1 }), { message: "a device is for the cuda backend: 1" });
  assert.throws(() => openRuntime("cpu", { tf32: false }), { message: "TF32 is for the cuda backend: no TF32" });
  assert.throws(() => openRuntime("cuda", { threads: 2 }), { message: "threads are for the cpu backend: 2" });
});
