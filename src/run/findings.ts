import { type Finding, type Rule, severities } from "./finding.js";
import { Facts } from "./finding-facts.js";
import { memoryRules } from "./finding-rules-memory.js";
import { planRules } from "./finding-rules-plan.js";
import { timeRules } from "./finding-rules-time.js";
import { trustRules } from "./finding-rules-trust.js";
import type { Run } from "./run.js";

/** Every rule by which findings are found. */
export const rules: readonly Rule[] = [...planRules, ...memoryRules, ...timeRules, ...trustRules];

const known = new WeakMap<Run, readonly Finding[]>();

/**
 * What a run shows, and what to do about it: problems first, then advice, then notes, each with those that a command does
 * before others, by what it gains of the peak or the step's time. From run.json alone; gains are estimated where they say so.
 */
export function findingsOf(run: Run): readonly Finding[] {
  const before = known.get(run);
  if (before) return before;
  const facts = new Facts(run);
  const found = rules.flatMap((rule) => findingsBy(rule, facts));
  // a budget that is not met is not met by time
  const msWeight = run.plan?.feasible === false ? 0 : 1 / (run.before.step.medianMs || 1);
  const worth = ({ gainBytes = 0, gainMs = 0 }: Finding): number =>
    Math.max(gainBytes / (facts.peak.bytes || 1), gainMs * msWeight, 0);
  const rank = ({ severity }: Finding): number => severities.indexOf(severity);
  const isDone = ({ command }: Finding): number => (command === undefined ? 1 : 0);
  found.sort((a, z) => rank(a) - rank(z) || isDone(a) - isDone(z) || worth(z) - worth(a));
  known.set(run, found);
  return found;
}

function findingsBy({ name, severity, threshold, test, say }: Rule, facts: Facts): Finding[] {
  const found = test(facts, threshold?.value ?? 0);
  if (!found) return [];
  return (Array.isArray(found) ? found : [found]).map((one) => ({
    rule: name,
    severity,
    estimated: facts.run.before.estimated ?? false,
    ...say(one, facts),
  }));
}

const aboutTime: ReadonlySet<string> = new Set(timeRules.map(({ name }) => name));

/**
 * The findings to show first, at most six: problems and advice, each change of options once; nothing about time while
 * the budget is not met.
 */
export function headFindings(run: Run, count = 6): Finding[] {
  const seen = new Set<string>();
  const isMet = run.plan?.feasible !== false;
  return findingsOf(run)
    .filter(({ rule, severity, flags }) => {
      if (severity === "note" || (flags !== undefined && seen.has(flags))) return false;
      if (!isMet && aboutTime.has(rule)) return false;
      if (flags !== undefined) seen.add(flags);
      return true;
    })
    .slice(0, count);
}
