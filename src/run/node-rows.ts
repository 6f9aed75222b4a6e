import { type Graph, type Node, type Phase, tensorBytes, tensorOf } from "../graph/graph.js";
import { addTo, eachOnce } from "../graph/lists.js";
import { type ActivationRow, activationRows } from "../memory/activation-rows.js";
import { peakHolders, timeline } from "../memory/liveness.js";
import { callOf } from "../ops/call.js";
import { opOf } from "../ops/index.js";
import type { CopyTime } from "../runtime/runtime.js";
import type { Samples } from "./samples.js";

/** What one node of the schedule costs (μ-TWO's table A). */
export interface NodeRow {
  readonly rank: number;
  readonly name: string;
  readonly op: string;
  readonly phase: Phase;
  readonly time: Samples;
  readonly flops: number;
  /** Bytes of the device that the kernel reads and writes: its inputs and outputs; 0 for a view. */
  readonly inputBytes: number;
  readonly outputBytes: number;
  /** Live bytes of values while the node runs (μ-TWO's peak_mem without workspace). */
  readonly liveBytes: number;
  /** The node's own inputs and outputs: what it needs when all else is swapped out (μ-TWO's active_mem). */
  readonly activeBytes: number;
  /** Bytes the kernel allocates for itself; null where the backend cannot measure it. */
  readonly workspaceBytes: number | null;
  /** Activations (rows of the activation table) whose last forward use is this node. */
  readonly lastForwardUses: readonly string[];
  /** Activations whose first backward use is this node. */
  readonly firstBackwardUses: readonly string[];
}

/** Bandwidth between host and device that swap times are simulated with where no copy can be measured: PCIe 4.0 x16. */
export const assumedSwapBytesPerMs = 25e6;

const slower = ({ toHostMs, toDeviceMs }: CopyTime): number => Math.max(toHostMs, toDeviceMs);

/** Time of one copy of that size, by default in the slower direction: between the measured sizes on a straight line. */
export function copyMs(copies: readonly CopyTime[], bytes: number, timeOf = slower): number {
  const points = copies.map((copy) => [copy.bytes, timeOf(copy)] as const);
  const [first, last] = [points[0], points.at(-1)];
  if (!first || !last) return 0;
  if (bytes <= first[0]) return first[1];
  const above = points.findIndex(([size]) => size >= bytes);
  // beyond the largest the bandwidth is what it was there
  if (above < 0) return (last[1] * bytes) / last[0];
  const [p, q] = [points[above - 1], points[above]] as [readonly [number, number], readonly [number, number]];
  return p[1] + ((q[1] - p[1]) * (bytes - p[0])) / (q[0] - p[0]);
}

/** A node's op as tables name it, with its domain. */
export const rowOp = ({ domain, op }: Pick<Node, "domain" | "op">): string => (domain ? `${domain}.${op}` : op);

/** What a node reads, writes and needs of the device, bytes: nothing for a view. */
export function bytesOf(graph: Graph, node: Node): Pick<NodeRow, "inputBytes" | "outputBytes" | "activeBytes"> {
  if (opOf(node).view) return { inputBytes: 0, outputBytes: 0, activeBytes: 0 };
  const sum = (names: readonly string[]): number => {
    let bytes = 0;
    for (const name of eachOnce(names)) {
      const tensor = name ? tensorOf(graph, name) : undefined;
      if (tensor && !tensor.host) bytes += tensorBytes(tensor);
    }
    return bytes;
  };
  const [inputBytes, outputBytes] = [sum(node.inputs), sum(node.outputs)];
  return { inputBytes, outputBytes, activeBytes: inputBytes + outputBytes };
}

/** Everything of a profile that follows from the graph and the nodes' times; `estimated`: copies were not measured. */
export function tables(
  graph: Graph,
  times: readonly Samples[],
  workspace: readonly number[] | null,
  copies: readonly CopyTime[] | null,
  estimated = false,
) {
  const nodeMs = times.map((time) => time.medianMs);
  const memory = timeline(graph);
  const swapMs = (bytes: number): number => (copies?.length ? copyMs(copies, bytes) : bytes / assumedSwapBytesPerMs);
  const activations = activationRows(graph, nodeMs, { swapMs, swapMeasured: Boolean(copies?.length) && !estimated });
  const namesBy = (rank: (row: ActivationRow) => number): Map<number, string[]> => {
    const names = new Map<number, string[]>();
    for (const row of activations) addTo(names, rank(row), row.name);
    return names;
  };
  const lastForward = namesBy((row) => row.lastForwardAccess);
  const firstBackward = namesBy((row) => row.firstBackwardAccess);
  const nodes = graph.nodes.map((node, rank): NodeRow => {
    const op = opOf(node);
    const bytes = bytesOf(graph, node);
    const outputs = node.outputs.map((name) =>
      name ? tensorOf(graph, name) : { dtype: "float32" as const, shape: [0] },
    );
    return {
      rank,
      name: node.name,
      op: rowOp(node),
      phase: node.phase,
      time: times[rank] as Samples,
      flops: op.flops(callOf(node, graph.tensors), outputs),
      inputBytes: bytes.inputBytes,
      outputBytes: bytes.outputBytes,
      liveBytes: memory.totalBytes[rank] as number,
      activeBytes: bytes.activeBytes,
      workspaceBytes: workspace ? (workspace[rank] as number) : null,
      lastForwardUses: lastForward.get(rank) ?? [],
      firstBackwardUses: firstBackward.get(rank) ?? [],
    };
  });
  return {
    nodes,
    activations,
    timeline: memory,
    peakHolders: peakHolders(graph),
    nodesMs: nodeMs.reduce((sum, ms) => sum + ms, 0),
  };
}
