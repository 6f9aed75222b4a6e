import { count, object, quantity, record, type Same, text, v } from "../schema.js";
import type { CopyTime, Device, DeviceMemory } from "./runtime.js";

/** A device, in a run or a recording. */
export const device = object({
  name: text,
  threads: count,
  memoryBytes: count,
  runtimeVersion: text,
  settings: v.optional(record(text)),
});

/** What a device holds while a step runs. */
export const memory = object({
  valuesBytes: count,
  workspaceBytes: count,
  contextBytes: count,
  kernelsBytes: v.optional(count),
  graphsBytes: v.optional(count),
  otherBytes: v.optional(count),
  processBytes: count,
  hostBytes: count,
});

/** The time of a copy each way. */
export const copy = object({ bytes: count, toHostMs: quantity, toDeviceMs: quantity });

// the types and the schemas say the same, or this does not compile
true satisfies Same<v.InferOutput<typeof device>, Device>;
true satisfies Same<v.InferOutput<typeof memory>, DeviceMemory>;
true satisfies Same<v.InferOutput<typeof copy>, CopyTime>;
