import { formatBytes, formatPercent } from "../format.js";
import type { Run } from "../run/run.js";
import { boundsOf, kneeOf, type TradeoffPoint } from "../run/tradeoff.js";
import { type Figure, figure, mib, timed } from "./figure.js";

/** Okabe and Ito's palette again, for planners in the order in which they come; violet for its black, which a dark page hides. */
const plannerColors = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F6FB5", "#999999"] as const;

/** Whether a planner has one plan, whatever the budget. */
const isFixed = ({ budgetBytes }: TradeoffPoint): boolean => budgetBytes === null;

/**
 * Step time against peak: a line for each planner that plans for a budget, a point for the others, as far as the lines
 * reach; those beyond are only in the legend. Null without a sweep.
 */
export function tradeoff(run: Run): Figure | null {
  const { tradeoff: points } = run;
  if (!points) return null;
  const stepMs = run.before.step.medianMs;
  const most = Math.max(...points.filter((point) => !isFixed(point)).map(({ addedMs }) => addedMs));
  const knee = kneeOf(points, stepMs);
  const data = [...new Set(points.map(({ planner }) => planner))].map((planner, i) => {
    const own = points.filter((point) => point.planner === planner).sort((a, z) => a.peakBytes - z.peakBytes);
    const alone = own.every(isFixed);
    const beyond = own.filter((point) => isFixed(point) && point.addedMs > most);
    const color = plannerColors[i % plannerColors.length];
    return {
      type: "scatter",
      mode: alone ? "markers" : "lines+markers",
      name: [planner, ...beyond.map(({ addedMs }) => `(beyond: +${formatPercent(addedMs / stepMs)})`)].join(" "),
      ...(beyond.length ? { visible: "legendonly" } : {}),
      x: own.map(({ peakBytes }) => mib(peakBytes)),
      y: own.map(({ addedMs }) => stepMs + addedMs),
      text: own.map(({ addedMs }) => `${planner}: ${formatPercent(addedMs / stepMs)} more time`),
      hovertemplate: "%{text}<br>%{x:.2f} MiB<br>%{y:.4g} ms<extra></extra>",
      line: { color, width: 2 },
      marker: { color, size: alone ? 11 : 6, symbol: alone ? "diamond" : "circle" },
    };
  });
  const bounds = boundsOf(points);
  const bound = {
    type: "scatter",
    mode: "lines",
    name: "bound: no plan is faster",
    x: bounds.map(({ budgetBytes }) => mib(budgetBytes)),
    y: bounds.map(({ boundMs }) => stepMs + boundMs),
    line: { color: "#666", width: 1, dash: "dot" },
  };
  const mark = knee && {
    x: mib(knee.peakBytes),
    y: stepMs + knee.addedMs,
    text: `knee: ${formatBytes(knee.peakBytes)}`,
    ay: -60,
    ax: 30,
    arrowhead: 2,
  };
  return figure(
    timed(run, "Predicted step time against peak"),
    { title: { text: "predicted peak, MiB" } },
    { title: { text: timed(run, "predicted step, ms") } },
    bounds.length ? [...data, bound] : data,
    { annotations: mark ? [mark] : [], showlegend: true },
  );
}
