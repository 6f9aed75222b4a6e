import { type Graph, type Node, tensorOf } from "../graph/graph.js";
import { opOf } from "../ops/index.js";

/** A piece of work in one of the lanes of a step. */
export interface LanePiece {
  /** The node; of a copy the tensor that is copied; of a stall the tensor that is waited for. */
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
}

/** A step as what goes on at the same time: nodes, copies each way, and the times at which nodes wait for copies. */
export interface Lanes {
  readonly compute: readonly LanePiece[];
  readonly toHost: readonly LanePiece[];
  readonly toDevice: readonly LanePiece[];
  readonly stalls: readonly LanePiece[];
}

/** A copy that was begun, by its output. */
interface Begun extends LanePiece {
  readonly direction: "toHost" | "toDevice";
}

/**
 * The lanes of a planned step: nodes one after the other, copies beside them on one channel each way, each as long as it
 * takes alone, in the order in which they begin. `nodeMs` gives the time of a node, and that of its copy for SwapOut and
 * SwapIn; waits and other views take none.
 */
export function lanesOf(graph: Graph, nodeMs: (node: Node, rank: number) => number): Lanes {
  const lanes = { compute: [], toHost: [], toDevice: [], stalls: [] } as Record<keyof Lanes, LanePiece[]>;
  const free = { toHost: 0, toDevice: 0 };
  const begun = new Map<string, Begun>();
  /** The swapped tensor that each host tensor holds. */
  const source = new Map<string, string>();
  let now = 0;
  graph.nodes.forEach((node, rank) => {
    const { swap } = opOf(node);
    const [from = "", second = ""] = node.inputs;
    const output = node.outputs[0] ?? "";
    if (swap === "out" || swap === "in") {
      const direction = swap === "out" ? "toHost" : "toDevice";
      const startMs = Math.max(now, free[direction]);
      const name = source.get(from) ?? from;
      const piece = { name, startMs, endMs: startMs + nodeMs(node, rank) };
      free[direction] = piece.endMs;
      lanes[direction].push(piece);
      begun.set(output, { ...piece, direction });
      return;
    }
    if (swap) {
      const copy = begun.get(from);
      if (copy && copy.endMs > now) {
        lanes.stalls.push({ name: copy.name, startMs: now, endMs: copy.endMs });
        now = copy.endMs;
      }
      if (tensorOf(graph, output).host) source.set(output, copy?.name ?? second);
      return;
    }
    const ms = nodeMs(node, rank);
    if (ms > 0) lanes.compute.push({ name: node.name, startMs: now, endMs: now + ms });
    now += ms;
  });
  return lanes;
}
