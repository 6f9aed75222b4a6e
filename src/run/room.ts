import type { Profile } from "./profile.js";

/** Bytes that the process holds on the device beside a step's values, as far as a profile tells: at least its largest workspace. */
export const besideBytes = ({ memory, workspaceBytes }: Profile): number =>
  Math.max(
    (memory?.contextBytes ?? 0) + (workspaceBytes ?? 0),
    memory?.kernelsBytes === undefined ? 0 : memory.processBytes - memory.valuesBytes,
  );

/** Bytes that a device has for a step's values; null where the host's memory is the device's, or the step fits. */
export function roomBytes(before: Profile): number | null {
  const room = Math.max(1, before.device.memoryBytes - besideBytes(before));
  const isDevice = before.memory !== null || before.estimated === true;
  const isTooLarge = before.offloaded !== undefined || before.arenaBytes > room;
  return isDevice && before.device.memoryBytes > 0 && isTooLarge ? room : null;
}
