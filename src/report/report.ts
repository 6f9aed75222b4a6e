import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import Handlebars from "handlebars";
import { formatBytes, formatCount, formatMs, formatPercent } from "../format.js";
import type { Plan } from "../plan/plan.js";
import { ownPath } from "../root.js";
import { optionFacts } from "../run/option-forms.js";
import type { Profile } from "../run/profile.js";
import type { Run } from "../run/run.js";
import * as charts from "./charts.js";
import { comparison } from "./comparison.js";
import { plotlySource } from "./plotly.js";
import { copiesNote, equalityLine, infeasibleLine } from "./sentences.js";
import { activationColumns, type Column, nodeColumns } from "./tables.js";

/** The templates lie beside src/ and dist/. */
const folder = ownPath("templates");

const read = (name: string): string => readFileSync(path.join(folder, name), "utf8");

/** JSON that may stand in a script element. */
const scriptJson = (value: unknown): string => JSON.stringify(value).replace(/</g, "\\u003c");

/** A table for the page: what each column is called and how it is written, and all rows. */
const pageTable = <Row>(columns: readonly Column<Row>[], rows: readonly Row[], run: Run) => ({
  columns: columns.map(({ title, kind, name }) => ({ title, kind, name })),
  rows: rows.map((row) => columns.map(({ value }) => value(row, run))),
});

/** What a plan costs in time: measured if it was executed, and then only as far as the noise lets one say. */
function timeCost({ before, paired }: Run, plan: Plan): string {
  if (!paired) return `${formatPercent(plan.addedMs / before.step.medianMs)} more time (predicted)`;
  const { unplanned, planned } = paired;
  const slower = planned.medianMs / unplanned.medianMs - 1;
  const share = `${formatPercent(Math.abs(slower))} ${slower >= 0 ? "more" : "less"}`;
  return Math.abs(planned.medianMs - unplanned.medianMs) <= unplanned.spreadMs + planned.spreadMs
    ? `the same time within the noise (${share}, measured)`
    : `${share} time (measured)`;
}

/** What the report says first. */
function headline(run: Run): { text: string; good: boolean } {
  const { before, plan } = run;
  if (!plan)
    return {
      text: `The step needs ${formatBytes(before.arenaBytes)} and takes ${formatMs(before.step.medianMs)}.`,
      good: true,
    };
  if (!plan.feasible) return { text: `${infeasibleLine(plan)}.`, good: false };
  const time = timeCost(run, plan);
  const less = `${formatPercent(1 - plan.peakBytes / before.arenaBytes)} less memory`;
  const budget = plan.budgetBytes === null ? "" : ` within the budget of ${formatBytes(plan.budgetBytes)}`;
  return { text: `The planned step needs ${formatBytes(plan.peakBytes)}${budget}: ${less} for ${time}.`, good: true };
}

/** Copies between host and device, by size. */
const copyRows = ({ copies }: Profile) =>
  (copies ?? []).map(({ bytes, toHostMs, toDeviceMs }) => ({
    size: formatBytes(bytes),
    toHost: `${formatMs(toHostMs)}, ${(bytes / toHostMs / 1e6).toFixed(1)} GB/s`,
    toDevice: `${formatMs(toDeviceMs)}, ${(bytes / toDeviceMs / 1e6).toFixed(1)} GB/s`,
  }));

/** Everything the templates show. */
function view(run: Run) {
  const { before, plan, model } = run;
  const figures = {
    timeline: charts.memoryTimeline(run),
    planned: charts.plannedTimeline(run),
    predicted: charts.predictedMeasured(run),
    holders: charts.peakHolders(run),
    runTime: charts.nodeRunTime(run),
    nodeMemory: charts.nodePeakMemory(run),
    byOp: charts.timeByOp(run),
    sizes: charts.activationSize(run),
    inactive: charts.activationInactiveTime(run),
  };
  const peakNode = before.nodes[before.timeline.peakRank];
  return {
    run,
    headline: headline(run),
    hasPlan: plan !== null,
    plannerName: plan?.planner ?? "",
    comparison: comparison(run, "report"),
    facts: [
      ["model", `${model.file} (${model.producer || "unknown producer"}, opset ${model.opset})`],
      [
        "dimensions",
        Object.entries(model.dims)
          .map(([name, size]) => `${name} = ${size}`)
          .join(", ") || "fixed by the file",
      ],
      ["loss, optimizer", `${model.loss}, ${model.optimizer}`],
      ...optionFacts(model),
      ["parameters", `${formatCount(model.parameters)} (${formatBytes(model.parameterBytes)})`],
      [
        "training step",
        `${formatCount(before.nodes.length)} nodes, ${formatCount(before.activations.length)} saved activations`,
      ],
      [
        "backend",
        `${before.backend}: ${before.device.name}, ${before.device.threads} ${before.memory ? "multiprocessors" : "threads"}`,
      ],
      ...Object.entries(before.device.settings ?? {}),
    ].map(([name, value]) => ({ name, value })),
    peakNode: peakNode ? `${peakNode.name} (${peakNode.op}, ${peakNode.phase})` : "",
    decisions: (plan?.decisions ?? []).map((decision) => ({
      ...decision,
      number: decision.order + 1,
      saved: formatBytes(decision.savedBytes),
      peak: formatBytes(decision.peakBytesAfter),
      added: formatMs(decision.addedMs),
      inactive: formatMs(decision.inactiveMs),
      ratio: decision.recomputeRatio === null ? "" : `${formatBytes(decision.recomputeRatio)}/ms`,
    })),
    planFacts: plan && {
      kept: plan.kept,
      minimum: formatBytes(plan.minimumPeakBytes),
      printed: formatBytes(plan.printedPeakBytes),
      exact: formatBytes(plan.timelinePeakBytes),
      planning: formatMs(plan.planningMs),
      host: plan.hostBytes ? formatBytes(plan.hostBytes) : null,
      added: formatMs(plan.addedMs) + copiesNote(run),
      obstacle: plan.obstacle && {
        node: plan.obstacle.node,
        holders: plan.obstacle.holders.map(({ name, bytes }) => ({ name, bytes: formatBytes(bytes) })),
      },
    },
    equality: run.equality && {
      compared: run.equality.compared,
      equal: run.equality.different.length === 0,
      line: equalityLine(run.equality),
      different: run.equality.different.slice(0, 10),
    },
    copies: copyRows(before),
    losses: before.losses.map((loss) => (loss === null ? "not finite" : loss.toPrecision(6))).join(", "),
    environment: Object.entries(run.environment).map(([name, value]) => ({
      name,
      value: name === "memoryBytes" ? formatBytes(value as number) : String(value),
    })),
    figures: scriptJson(figures),
    tables: scriptJson({
      nodes: pageTable(nodeColumns, before.nodes, run),
      activations: pageTable(activationColumns, before.activations, run),
    }),
    plotly: plotlySource(),
    css: read("report.css"),
    js: read("report.js"),
  };
}

let compiled: ((context: ReturnType<typeof view>) => string) | undefined;

/** The report of a run as one HTML page that needs nothing else: styles, data and Plotly are inside. */
export function reportHtml(run: Run): string {
  if (!compiled) {
    const environment = Handlebars.create();
    for (const file of readdirSync(path.join(folder, "partials")))
      environment.registerPartial(path.basename(file, ".hbs"), read(path.join("partials", file)));
    compiled = environment.compile(read("report.hbs"), { strict: true });
  }
  return compiled(view(run));
}
