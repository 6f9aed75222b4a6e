import type { Graph } from "../graph/graph.js";
import { hasCudaKernel } from "./cuda-kernels.js";
import type { DeviceSpec } from "./device-spec.js";
import { efficienciesOf } from "./efficiency.js";
import { estimatedCopyMs, estimatedMs, workOf } from "./estimate-time.js";
import { cudnnSupports } from "./gpu/cudnn.js";
import { refuseHuge } from "./gpu/huge.js";
import { layoutGains } from "./gpu/layout-gains.js";
import { kernelLookup } from "./gpu/lookup.js";
import { ortVersion } from "./ort-api.js";
import type { CopyTime, Device, LoadedStep, Measurement, Runtime } from "./runtime.js";

/** How the step would be run. */
export interface EstimateOptions {
  readonly tf32?: boolean;
  readonly deterministic?: boolean;
}

/** Sizes of the copies that are told, bytes: between them and beyond, the bandwidth is what it is there. */
const copySizes = [2 ** 16, 2 ** 20, 2 ** 24, 2 ** 28];

/**
 * A runtime that stands for a GPU that is only described. Steps take the form that the CUDA backend gives them, so memory
 * is exact; all times are estimated. No CUDA library is needed. It cannot compute: `run` throws.
 */
export function openEstimate(spec: DeviceSpec, { tf32 = true, deterministic = false }: EstimateOptions = {}): Runtime {
  const means = { cudnn: { supports: cudnnSupports }, compiles: true, deterministic, tf32, attends: true };
  return {
    backend: "estimate",
    device: deviceOf(spec, tf32, deterministic),
    fuses: true,
    layoutGains: layoutGains(tf32),
    hasKernel: kernelLookup(means, hasCudaKernel),
    load: (graph): LoadedStep => {
      refuseHuge(graph);
      const refuse = (): never => {
        throw new Error(`an estimate cannot compute: ${graph.name}`);
      };
      return {
        allocatedBytes: 0,
        write: () => {},
        read: refuse,
        run: async () => refuse(),
        measure: async () => estimated(graph, spec, tf32),
        close: () => {},
      };
    },
    close: () => {},
  };
}

function deviceOf(spec: DeviceSpec, tf32: boolean, deterministic: boolean): Device {
  const tflops = [spec.float64Tflops, spec.float32Tflops, spec.tf32Tflops, spec.float16Tflops];
  return {
    name: spec.name,
    threads: 0,
    memoryBytes: spec.memoryBytes,
    runtimeVersion: ortVersion(),
    settings: {
      TF32: tf32 ? "on" : "off",
      deterministic: deterministic ? "yes" : "no",
      "estimated from": `${spec.memoryGBs} GB/s of memory; ${tflops.join(" / ")} TFLOP/s in float64 / float32 / TF32 / float16; ${spec.toHostGBs} GB/s to the host, ${spec.toDeviceGBs} GB/s from it`,
    },
  };
}

function estimated(graph: Graph, spec: DeviceSpec, tf32: boolean): Measurement {
  const efficiencies = efficienciesOf(spec.efficiency);
  const nodeMs = graph.nodes.map((node) => {
    const work = workOf(node, graph, tf32);
    return work ? estimatedMs(work, spec, efficiencies) : 0;
  });
  const copyMs = (bytes: number, linkGBs: number): number => estimatedCopyMs(bytes, linkGBs, spec, efficiencies.link);
  return {
    nodes: nodeMs.map((ms) => [ms]),
    step: [nodeMs.reduce((sum, ms) => sum + ms, 0)],
    estimated: true,
    eagerStep: null,
    workspaceBytes: null,
    memory: null,
    copies: copySizes.map(
      (bytes): CopyTime => ({
        bytes,
        toHostMs: copyMs(bytes, spec.toHostGBs),
        toDeviceMs: copyMs(bytes, spec.toDeviceGBs),
      }),
    ),
    losses: [],
  };
}
