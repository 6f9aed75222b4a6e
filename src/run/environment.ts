import os from "node:os";
import { ownVersion } from "../root.js";
import type { Device } from "../runtime/runtime.js";
import type { Environment } from "./run.js";

/** What a report says of where it was made. */
export const environment = ({ device }: { readonly device: Pick<Device, "runtimeVersion"> }): Environment => ({
  mutwo: ownVersion(),
  node: process.version,
  onnxruntime: device.runtimeVersion,
  os: `${os.type()} ${os.release()} ${os.arch()}`,
  cpu: os.cpus()[0]?.model ?? "unknown",
  cores: os.cpus().length,
  memoryBytes: os.totalmem(),
});
