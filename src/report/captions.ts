import { few, formatBytes, formatCount, formatMs, formatPercent } from "../format.js";
import type { NodeRow } from "../run/node-rows.js";
import type { Run } from "../run/run.js";
import { shorten } from "./figure.js";
import { timeByModuleCaption } from "./module-view.js";
import { actionOf } from "./ranges.js";
import { fastest, phaseTimes, rooflinePoints } from "./roofline.js";
import { allocated, estimatedTime, stepTime } from "./sentences.js";
import { runLanes } from "./swap-lanes.js";
import { togetherPieces } from "./together-lanes.js";

const sum = <T>(rows: readonly T[], value: (row: T) => number): number =>
  rows.reduce((all, row) => all + value(row), 0);

const timeOf = (row: NodeRow): number => row.time.medianMs;

const share = (part: number, whole: number): string => formatPercent(whole > 0 ? part / whole : 0);

function predicted(run: Run): string {
  const { before, plan, after } = run;
  const step = (what: string, predictedBytes: number, measured: string, time: string): string =>
    `${what} predicted ${formatBytes(predictedBytes)}, allocated: ${measured}; step ${time}.`;
  return [
    step("Unplanned:", before.arenaBytes, allocated(before), estimatedTime(before) ?? stepTime(before)),
    ...(plan
      ? [
          step(
            "Planned:",
            plan.peakBytes,
            after ? allocated(after) : "not executed",
            after && !after.simulated ? stepTime(after) : `${formatMs(before.step.medianMs + plan.addedMs)} predicted`,
          ),
        ]
      : []),
  ].join(" ");
}

function byPhase(run: Run): string {
  const times = phaseTimes(run);
  const all = sum(times, ({ ms }) => ms);
  return `${times.map(({ phase, ms }) => `${phase} ${formatMs(ms)} (${share(ms, all)})`).join(", ")} of ${formatMs(all)} of node time.`;
}

function byOp({ before }: Run): string {
  const sums = new Map<string, number>();
  for (const row of before.nodes) {
    const key = `${row.op} in the ${row.phase} phase`;
    sums.set(key, (sums.get(key) ?? 0) + timeOf(row));
  }
  const all = sum(before.nodes, timeOf);
  const most = [...sums].sort(([, a], [, z]) => z - a).slice(0, 3);
  return `Most time: ${most.map(([key, ms]) => `${key} ${formatMs(ms)} (${share(ms, all)})`).join(", ")}.`;
}

function runTime({ before }: Run): string {
  const sorted = [...before.nodes].sort((a, z) => timeOf(z) - timeOf(a));
  const [slowest] = sorted;
  const all = sum(sorted, timeOf);
  if (!slowest || all === 0) return "No node takes time.";
  let [half, count] = [0, 0];
  while (half < all / 2) half += timeOf(sorted[count++] as NodeRow);
  return `The slowest node is ${shorten(slowest.name)} (${slowest.op}): ${formatMs(timeOf(slowest))}, ${share(timeOf(slowest), all)} of node time. Half of the time is in ${formatCount(count)} of ${formatCount(sorted.length)} nodes.`;
}

function roofline(run: Run): string {
  const points = rooflinePoints(run);
  const most = fastest(points);
  const near = points.filter(({ gflops, gbs }) => gflops >= most.gflops / 2 || gbs >= most.gbs / 2).length;
  return `${formatCount(near)} of ${formatCount(points.length)} nodes reach half of the fastest arithmetic (${formatCount(most.gflops)} Gflop/s) or of the fastest movement of bytes (${formatCount(most.gbs)} GB/s) that this run shows. The dashed roof is that, not a data sheet; nodes far below it have the most to gain.`;
}

function liveRanges(run: Run): string {
  const { activations } = run.before;
  const all = sum(activations, ({ memoryBytes }) => memoryBytes);
  const action = actionOf(run);
  const freed = sum(
    activations.filter(({ name }) => action(name) !== "keep"),
    ({ memoryBytes }) => memoryBytes,
  );
  const plan = run.plan ? ` The plan frees ${formatBytes(freed)} of it in between.` : "";
  return `${formatCount(activations.length)} saved activations hold ${formatBytes(all)}, idle between the forward and the backward phase (the middle of each bar).${plan}`;
}

function sizeIdle({ before }: Run): string {
  const { activations } = before;
  const hidden = activations.filter(({ inactiveMs, swapMs }) => inactiveMs > 2 * swapMs);
  const biggest = [...activations].sort((a, z) => z.memoryBytes - a.memoryBytes).slice(0, 3);
  return `${formatCount(hidden.length)} of ${formatCount(activations.length)} lie idle for longer than two copies of them take (${formatBytes(sum(hidden, ({ memoryBytes }) => memoryBytes))}). The largest: ${few(biggest.map(({ name, memoryBytes, inactiveMs }) => `${shorten(name)} ${formatBytes(memoryBytes)}, idle ${formatMs(inactiveMs)}`))}. Those at the top right are worth the most.`;
}

function lanes(run: Run): string {
  const all = runLanes(run);
  if (!all) return "";
  const length = ({ startMs, endMs }: { startMs: number; endMs: number }): number => endMs - startMs;
  const wait = sum(all.stalls, length);
  return `${formatCount(all.toHost.length)} copies to the host take ${formatMs(sum(all.toHost, length))}, ${formatCount(all.toDevice.length)} back take ${formatMs(sum(all.toDevice, length))}, beside ${formatMs(sum(all.compute, length))} of computation; nodes wait ${formatMs(wait)} for them in ${formatCount(all.stalls.length)} stalls. Each copy is drawn at its time alone; the predicted time also counts that copies and kernels slow each other down.`;
}

function inLanes(run: Run): string {
  const pieces = togetherPieces(run);
  if (!pieces) return "";
  const length = (kind: string): number =>
    sum(
      pieces.bars.filter(({ what }) => what === kind),
      ({ beginMs, endMs }) => endMs - beginMs,
    );
  const end = pieces.bars.reduce((most, { endMs }) => Math.max(most, endMs), 0);
  const copies = length("copy");
  const timed = run.before.estimated ? "Times of nodes are estimated" : "Times of nodes are measured one by one";
  const moved =
    copies > 0
      ? `; copies take ${formatMs(copies)} beside them, and nodes wait ${formatMs(length("stall"))} for them`
      : "";
  return `Each row is a model, or those fused into one: ${pieces.arrays.slice(0, 3).join("; ")}${pieces.arrays.length > 3 ? "; …" : ""}. All are through after ${formatMs(end)}: forward ${formatMs(length("forward"))}, backward ${formatMs(length("backward"))}, update ${formatMs(length("update"))} in all rows${moved}. ${timed}, and what runs at the same time is simulated.`;
}

function tradeoff({ before, tradeoff: points = [] }: Run): string {
  const planners = new Set(points.map(({ planner }) => planner)).size;
  return `${formatCount(points.length)} plans of ${formatCount(planners)} planners; the unplanned step, on the right, needs ${formatBytes(before.arenaBytes)} and takes ${formatMs(before.step.medianMs)}. Down and to the left is better.`;
}

/** What each chart of the page shows, in words and numbers, by the chart's name. */
export const captions: Readonly<Record<string, (run: Run) => string>> = {
  predicted,
  byModule: timeByModuleCaption,
  byPhase,
  byOp,
  runTime,
  roofline,
  liveRanges,
  sizeIdle,
  lanes,
  togetherLanes: inLanes,
  tradeoff,
};
