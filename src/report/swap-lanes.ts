import { knownName } from "../graph/names.js";
import { copyTimes } from "../run/copy-times.js";
import { type LanePiece, type Lanes, lanesOf } from "../run/lanes.js";
import { plannedGraph } from "../run/planned-rows.js";
import type { Run } from "../run/run.js";
import { type Figure, figure, shorten, timed } from "./figure.js";
import { rowsOf } from "./tables.js";

/** More pieces than this are not told apart in a lane: neighbours become one. */
const mostPieces = 1500;

const known = new WeakMap<Run, Lanes>();

/** The lanes of a run's planned step; undefined where its plan swaps nothing. */
export function runLanes(run: Run): Lanes | undefined {
  if (!run.plan?.states?.length && !run.plan?.decisions.some(({ action }) => action === "swap")) return undefined;
  const graph = plannedGraph(run);
  if (!graph) return undefined;
  const made = known.get(run);
  if (made) return made;
  const copies = copyTimes(run);
  const { nodes } = rowsOf(run, "planned");
  const lanes = lanesOf(graph, ({ name, op, domain }, rank) =>
    domain === "mutwo" && op.startsWith("Swap")
      ? (copies.get(knownName(name, copies)) ?? 0)
      : (nodes[rank]?.time.medianMs ?? 0),
  );
  known.set(run, lanes);
  return lanes;
}

/** Pieces that follow each other at once as one, where there are too many: `3 nodes from a`. */
function merged(pieces: readonly LanePiece[]): LanePiece[] {
  const each = Math.ceil(pieces.length / mostPieces);
  if (each <= 1) return [...pieces];
  return pieces.flatMap((piece, i) => {
    if (i % each) return [];
    const last = pieces[Math.min(i + each, pieces.length) - 1] as LanePiece;
    return [{ name: `${each} from ${shorten(piece.name)}`, startMs: piece.startMs, endMs: last.endMs }];
  });
}

/** Computation, copies each way and stalls of the planned step beside each other in time. Null where nothing is swapped. */
export function swapLanes(run: Run): Figure | null {
  const lanes = runLanes(run);
  if (!lanes) return null;
  // the last is drawn at the top
  const rows = [
    { name: "copies to the device", pieces: lanes.toDevice, color: "#56B4E9" },
    { name: "copies to the host", pieces: lanes.toHost, color: "#009E73" },
    { name: "stalls: nodes wait", pieces: lanes.stalls, color: "#D55E00" },
    { name: "computation", pieces: merged(lanes.compute), color: "#0072B2" },
  ];
  const data = rows.map(({ name, pieces, color }) => ({
    type: "bar",
    orientation: "h",
    name,
    base: pieces.map(({ startMs }) => startMs),
    x: pieces.map(({ startMs, endMs }) => endMs - startMs),
    y: pieces.map(() => name),
    text: pieces.map((piece) => shorten(piece.name)),
    textposition: "none",
    hovertemplate: "%{text}<br>%{x:.4g} ms from %{base:.4g} ms<extra></extra>",
    marker: { color },
  }));
  return figure(
    timed(run, "Computation and copies of the planned step"),
    { title: { text: timed(run, "ms from the step's start") }, rangemode: "tozero" },
    { type: "category", categoryorder: "array", categoryarray: rows.map(({ name }) => name) },
    data,
    { barmode: "overlay", height: 300, showlegend: false, meta: { paperHeight: 210 } },
  );
}
