import { formatBytes, formatMs } from "../format.js";
import type { Finding } from "../run/finding.js";
import { findingsOf, headFindings } from "../run/findings.js";
import type { Run } from "../run/run.js";
import { estimatedMark } from "./sentences.js";

const less = (amount: number, text: (value: number) => string): string =>
  `${text(Math.abs(amount))} ${amount < 0 ? "more" : "less"}`;

/** Bytes and time that are won, `540 MiB less, 1.20 ms more time`; empty where neither is known. */
export const gainText = (gain: { readonly gainBytes?: number | null; readonly gainMs?: number | null }): string =>
  [
    ...(typeof gain.gainBytes === "number" ? [less(gain.gainBytes, formatBytes)] : []),
    ...(typeof gain.gainMs === "number" ? [`${less(gain.gainMs, formatMs)} time`] : []),
  ].join(", ");

/** The same with the word that says where it comes from; empty where nothing is promised. */
export function promiseText(finding: Finding): string {
  const gain = gainText(finding);
  return gain && `${gain} (${finding.estimated ? "estimated" : "predicted"})`;
}

/** The first findings in lines for a terminal: what it is, then what to do. */
export const findingLines = (run: Run, count = 3): string[] =>
  headFindings(run, count).flatMap((finding) => {
    const { severity, title, evidence, todo, flags } = finding;
    const promise = promiseText(finding);
    return [
      `${severity}: ${title}: ${evidence}${estimatedMark(run.before)}`,
      `  ${todo}${flags ? ` [${flags}]` : ""}${promise && ` ${promise}`}`,
    ];
  });

/** A run's findings as they stand in its folder. */
export const findingsJson = (run: Run): string => `${JSON.stringify(findingsOf(run), null, 1)}\n`;
