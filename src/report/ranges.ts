import { formatBytes } from "../format.js";
import type { ActivationRow } from "../memory/activation-rows.js";
import type { Action } from "../plan/plan.js";
import type { Run } from "../run/run.js";
import { actionColors, type Figure, figure, largest, mib, phaseBorders, rankAxis, shorten, timed } from "./figure.js";

/** Rows of the chart of live ranges. */
const mostRanges = 40;

/** What the plan does with an activation, by its name. */
export function actionOf({ plan }: Run): (name: string) => Action {
  const actions = new Map(plan?.decisions.map(({ activation, action }) => [activation, action]));
  return (name) => actions.get(name) ?? "keep";
}

/** A stretch of an activation's life, by the ranks before which it begins and ends. */
interface Stretch {
  readonly name: string;
  readonly color: string;
  readonly of: (row: ActivationRow) => readonly [first: number, end: number];
  readonly isShown: (action: Action) => boolean;
}

/** The same colour, as far transparent. */
const pale = (color: string, opacity: number): string => {
  const parts = [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));
  return `rgba(${parts.join(",")},${opacity})`;
};

const idle = (name: string, action: Action, opacity: number): Stretch => ({
  name,
  color: pale(actionColors[action], opacity),
  of: (row) => [row.lastForwardAccess + 1, row.firstBackwardAccess],
  isShown: (other) => other === action,
});

/** What a life is made of; an idle stretch looks like what the plan does with it. */
const stretches: readonly Stretch[] = [
  {
    name: "forward use",
    color: "#56B4E9",
    of: (row) => [row.createdRank, row.lastForwardAccess + 1],
    isShown: () => true,
  },
  idle("idle: kept", "keep", 0.3),
  idle("idle: freed, recomputed", "recompute", 0.75),
  idle("idle: on the host (swap)", "swap", 0.75),
  {
    name: "backward use",
    color: "#CC79A7",
    of: (row) => [row.firstBackwardAccess, row.lastBackwardAccess + 1],
    isShown: () => true,
  },
];

/** The largest saved activations as bars over the schedule: in use, idle, in use again. Null where none is saved. */
export function liveRanges(run: Run): Figure | null {
  const { activations, nodes } = run.before;
  if (activations.length === 0) return null;
  const action = actionOf(run);
  const shown = [...activations].sort((a, z) => z.memoryBytes - a.memoryBytes).slice(0, mostRanges);
  shown.sort((a, z) => z.createdRank - a.createdRank);
  const rows = shown.map((row, at) => ({ row, at }));
  const data = stretches.map(({ name, color, of, isShown }) => {
    const own = rows.filter(({ row }) => isShown(action(row.name)) && of(row)[1] > of(row)[0]);
    return {
      type: "bar",
      orientation: "h",
      name,
      base: own.map(({ row }) => of(row)[0] - 0.5),
      x: own.map(({ row }) => of(row)[1] - of(row)[0]),
      y: own.map(({ at }) => at),
      text: own.map(({ row }) => `${shorten(row.name)}: ${formatBytes(row.memoryBytes)}`),
      textposition: "none",
      hovertemplate: `%{text}<br>${name}: %{x} nodes<extra></extra>`,
      width: 0.8,
      marker: { color },
    };
  });
  const rest = activations.length - shown.length;
  return figure(
    rest > 0
      ? `Live ranges of the largest ${shown.length} of ${activations.length} saved activations`
      : "Live ranges of the saved activations",
    rankAxis,
    {
      tickfont: { size: 10 },
      tickvals: rows.map(({ at }) => at),
      ticktext: rows.map(({ row }) => shorten(row.name)),
      zeroline: false,
    },
    data.filter(({ x }) => x.length > 0),
    {
      barmode: "overlay",
      height: Math.max(260, 150 + 15 * shown.length),
      shapes: phaseBorders(nodes).shapes,
    },
  );
}

/** Size of each saved activation against how long it lies idle. Null where none is saved. */
export function sizeIdle(run: Run): Figure | null {
  const { activations } = run.before;
  if (activations.length === 0) return null;
  const action = actionOf(run);
  const { shown, note } = largest(activations, (row) => row.memoryBytes);
  const data = (["keep", "recompute", "swap"] as const).map((kind) => {
    const rows = shown.filter(({ name, inactiveMs, memoryBytes }) => {
      return action(name) === kind && inactiveMs > 0 && memoryBytes > 0;
    });
    return {
      type: "scatter",
      mode: "markers",
      name: kind,
      x: rows.map(({ inactiveMs }) => inactiveMs),
      y: rows.map(({ memoryBytes }) => mib(memoryBytes)),
      text: rows.map(({ name }) => shorten(name)),
      hovertemplate: "%{text}<br>%{y:.4g} MiB, idle %{x:.4g} ms<extra></extra>",
      marker: {
        size: 7,
        color: actionColors[kind],
        symbol: { keep: "circle", recompute: "diamond", swap: "square" }[kind],
      },
    };
  });
  return figure(
    `Size of saved activations against idle time${note}`,
    { title: { text: timed(run, "idle between forward and backward use, ms") }, type: "log" },
    { title: { text: "MiB" }, type: "log" },
    data.filter(({ x }) => x.length > 0),
    { showlegend: true },
  );
}
