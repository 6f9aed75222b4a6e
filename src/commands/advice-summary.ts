import Table from "cli-table3";
import { formatBytes, formatMs } from "../format.js";
import { gainText, promiseText } from "../report/finding-text.js";
import type { Advice, Outcome, Trial } from "../run/advise.js";
import { counted } from "../run/finding.js";
import { findingsOf, headFindings } from "../run/findings.js";
import type { Run } from "../run/run.js";

const peakText = ({ peakBytes, peakBasis }: Outcome): string => `${formatBytes(peakBytes)} (${peakBasis})`;

const stepText = ({ stepMs, stepBasis }: Outcome): string =>
  stepMs === null ? "not known" : `${formatMs(stepMs)} (${stepBasis})`;

const fitText = ({ fits }: Outcome): string => (fits === null ? "" : fits ? "yes" : "no");

function cells({ finding, outcome, problem, ...gains }: Trial): string[] {
  const promised = promiseText(finding) || "nothing in numbers";
  if (!outcome) return [finding.flags ?? "", promised, problem ?? "", "", "", ""];
  return [finding.flags ?? "", promised, gainText(gains), peakText(outcome), stepText(outcome), fitText(outcome)];
}

/** What trying a run's findings came to, for a terminal: promised beside measured, planned or built. */
export function adviceSummary(run: Run, { own, trials, notes }: Advice): string {
  const head = ["", "promised", "came of it", "peak", "step", "fits"];
  const table = new Table({ head, style: { head: [], border: [] } });
  table.push(["as it is", "", "", peakText(own), stepText(own), fitText(own)]);
  for (const trial of trials) table.push(cells(trial));
  return [
    `${run.model.file}: ${counted(findingsOf(run).length, "finding")}`,
    ...headFindings(run).map(({ severity, title, evidence }) => `${severity}: ${title}: ${evidence}`),
    ...(trials.length ? ["tried:", table.toString()] : ["nothing to try: no finding changes an option"]),
    ...trials.flatMap(({ finding, outcome }) => (outcome && finding.command ? [`to run it: ${finding.command}`] : [])),
    ...notes.map((note) => `note: ${note}`),
  ].join("\n");
}
