import { few } from "../format.js";
import { phases } from "../graph/graph.js";
import { addTo } from "../graph/lists.js";
import { opOf } from "../ops/index.js";
import { jointTime } from "../run/joint-time.js";
import type { Run } from "../run/run.js";
import { type Figure, figure, phaseColors, timed } from "./figure.js";

/** More sub-arrays than this are not told apart. */
const mostRows = 24;

interface Bar {
  readonly row: string;
  readonly what: string;
  readonly beginMs: number;
  endMs: number;
}

/** What goes on in a joint step, in time: for each sub-array its phases, copies each way, and stalls. */
interface Pieces {
  /** Rows of models, and of those fused into one: `m0`, `f0: m0, m1`. */
  readonly arrays: readonly string[];
  readonly rows: readonly string[];
  readonly bars: readonly Bar[];
}

const copyRows = { out: "copies to the host", in: "copies to the device" } as const;
const stallRow = "stalls: nodes wait";

/** The pieces of a run's step, planned where there is a plan; undefined of a run of one model. */
export function togetherPieces(run: Run): Pieces | undefined {
  if (!run.together) return undefined;
  const { graph, time } = jointTime(run);
  const { spans, waitedMs } = time;
  const names = new Map<string, string[]>();
  for (const { array, name } of graph.trials ?? []) addTo(names, array, name);
  const labels = new Map(
    [...names].slice(0, mostRows).map(([array, of]) => [array, of.length > 1 ? `${array}: ${few(of)}` : array]),
  );
  const bars: Bar[] = [];
  const last = new Map<string, Bar>();
  const add = (row: string, what: string, beginMs: number, endMs: number): void => {
    const before = last.get(row);
    if (before?.what === what && beginMs - before.endMs < 0.02 * (endMs - before.beginMs)) before.endMs = endMs;
    else {
      const bar = { row, what, beginMs, endMs };
      last.set(row, bar);
      bars.push(bar);
    }
  };
  graph.nodes.forEach((node, rank) => {
    const span = spans[rank];
    if (!span || span.endMs <= span.beginMs) return;
    const { swap } = opOf(node);
    if (swap === "out" || swap === "in") add(copyRows[swap], "copy", span.beginMs, span.endMs);
    else if (swap) {
      const waited = waitedMs.get(rank) ?? 0;
      if (waited > 0) add(stallRow, "stall", span.endMs - waited, span.endMs);
    } else {
      const label = labels.get(node.name.slice(0, Math.max(0, node.name.indexOf("/"))));
      if (label !== undefined) add(label, node.phase === "loss" ? "forward" : node.phase, span.beginMs, span.endMs);
    }
  });
  const others = [copyRows.out, copyRows.in, stallRow].filter((row) => last.has(row));
  const arrays = [...labels.values()];
  return { arrays, rows: [...arrays, ...others], bars };
}

const otherColors: Readonly<Record<string, string>> = { copy: "#56B4E9", stall: "#CC79A7" };

/** The models of a joint step beside each other in time, with copies and stalls. Null of a run of one model. */
export function togetherLanes(run: Run): Figure | null {
  const pieces = togetherPieces(run);
  if (!pieces) return null;
  const { rows, bars } = pieces;
  const kinds = [...phases, "copy", "stall"].filter((kind) => bars.some(({ what }) => what === kind));
  const data = kinds.map((kind) => {
    const own = bars.filter(({ what }) => what === kind);
    return {
      type: "bar",
      orientation: "h",
      name: kind,
      base: own.map(({ beginMs }) => beginMs),
      x: own.map(({ beginMs, endMs }) => endMs - beginMs),
      y: own.map(({ row }) => row),
      hovertemplate: `${kind}<br>%{x:.4g} ms from %{base:.4g} ms<extra></extra>`,
      marker: { color: otherColors[kind] ?? phaseColors[kind as keyof typeof phaseColors] },
    };
  });
  return figure(
    timed(run, `The models in one step${run.plan?.feasible ? ", planned" : ""}`),
    { title: { text: timed(run, "ms from the step's start") }, rangemode: "tozero" },
    // the last is drawn at the top
    { type: "category", categoryorder: "array", categoryarray: [...rows].reverse() },
    data,
    { barmode: "overlay", height: Math.max(220, 120 + 26 * rows.length), meta: { paperHeight: 240 } },
  );
}
