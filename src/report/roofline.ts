import { phases } from "../graph/graph.js";
import type { NodeRow } from "../run/node-rows.js";
import type { Run } from "../run/run.js";
import { bars, type Figure, figure, largest, phaseColors, shorten, timed } from "./figure.js";

/** A node as a point of the roofline: operations a byte, and 10⁹ operations a second. */
export interface RooflinePoint {
  readonly row: NodeRow;
  readonly intensity: number;
  readonly gflops: number;
  /** 10⁹ bytes a second. */
  readonly gbs: number;
}

/** The nodes that compute, move bytes and take time. */
export const rooflinePoints = ({ before }: Run): RooflinePoint[] =>
  before.nodes.flatMap((row) => {
    const bytes = row.inputBytes + row.outputBytes;
    const ms = row.time.medianMs;
    if (row.flops <= 0 || bytes <= 0 || ms <= 0) return [];
    return [{ row, intensity: row.flops / bytes, gflops: row.flops / ms / 1e6, gbs: bytes / ms / 1e6 }];
  });

/** The fastest arithmetic and the fastest movement of bytes that any node of a run shows. */
export const fastest = (points: readonly RooflinePoint[]) => ({
  gflops: points.reduce((most, one) => Math.max(most, one.gflops), 0),
  gbs: points.reduce((most, one) => Math.max(most, one.gbs), 0),
});

/**
 * Speed of each node against its operations a byte, under the roof of the fastest that this run shows (Williams et al.
 * 2009, "Roofline", with measured instead of specified ceilings). Null where no node computes.
 */
export function roofline(run: Run): Figure | null {
  const points = rooflinePoints(run);
  if (points.length === 0) return null;
  const { shown, note } = largest(points, ({ row }) => row.time.medianMs);
  const most = fastest(points);
  const data = phases.map((phase) => {
    const own = shown.filter(({ row }) => row.phase === phase);
    return {
      type: "scatter",
      mode: "markers",
      name: phase,
      x: own.map(({ intensity }) => intensity),
      y: own.map(({ gflops }) => gflops),
      text: own.map(({ row }) => `${shorten(row.name)} (${row.op})`),
      hovertemplate: "%{text}<br>%{x:.3g} flop/byte, %{y:.4g} Gflop/s<extra></extra>",
      marker: { size: 6, color: phaseColors[phase] },
    };
  });
  const low = points.reduce((least, one) => Math.min(least, one.intensity), Number.POSITIVE_INFINITY);
  const high = points.reduce((greatest, one) => Math.max(greatest, one.intensity), 0);
  const ridge = most.gflops / most.gbs;
  const xs = [low, ...(low < ridge && ridge < high ? [ridge] : []), high];
  const roof = {
    type: "scatter",
    mode: "lines",
    name: "fastest seen in this run",
    x: xs,
    y: xs.map((x) => Math.min(most.gflops, x * most.gbs)),
    hoverinfo: "skip",
    line: { color: "#888888", width: 2, dash: "dash" },
  };
  return figure(
    timed(run, `Roofline: speed of nodes against operations a byte${note}`),
    { title: { text: "floating-point operations a byte" }, type: "log" },
    { title: { text: timed(run, "Gflop/s") }, type: "log" },
    [...data.filter(({ x }) => x.length > 0), roof],
    { showlegend: true },
  );
}

/** Time of each phase, summed over its nodes, ms. */
export const phaseTimes = ({ before }: Run): { phase: (typeof phases)[number]; ms: number }[] =>
  phases.flatMap((phase) => {
    const own = before.nodes.filter((row) => row.phase === phase);
    return own.length ? [{ phase, ms: own.reduce((sum, { time }) => sum + time.medianMs, 0) }] : [];
  });

/** Time by phase, summed. */
export const timeByPhase = (run: Run): Figure =>
  bars(
    timed(run, "Time by phase"),
    timed(run, "ms"),
    phaseTimes(run),
    ({ phase }) => phase,
    ({ ms }) => ms,
    ({ phase }) => phaseColors[phase],
  );
