import { formatBytes, formatMs, formatPercent } from "../format.js";
import { addTo } from "../graph/lists.js";
import type { Decision } from "../plan/plan.js";
import { modulesOf, moduleText } from "../run/modules.js";
import type { Run } from "../run/run.js";
import { groupsOf } from "./module-view.js";
import { type PageTable, pageTableOf } from "./tables.js";

/** What decisions have in common, and what they come to. */
export interface DecisionGroup {
  readonly name: string;
  readonly action: Decision["action"];
  readonly count: number;
  readonly one: boolean;
  readonly saved: string;
  readonly added: string;
  readonly share: string;
  /** The reason of the one that saves the most. */
  readonly reason: string;
  readonly first: string;
}

/** Says which group a decision belongs to: what is done in a module, or to what an op makes where no modules are known. */
function groupNames(run: Run): (decision: Decision) => string {
  const modules = modulesOf(run);
  if (modules.basis !== null) {
    const groupOf = groupsOf((run.plan?.decisions ?? []).map(({ activation }) => modules.ofTensor(activation)));
    return ({ activation, action }) => `${action} in ${moduleText(groupOf(modules.ofTensor(activation)))}`;
  }
  const ops = new Map(run.before.nodes.map(({ name, op }) => [name, op]));
  const producers = new Map(run.before.activations.map(({ name, producer }) => [name, producer]));
  return ({ activation, action }) => `${action} what ${ops.get(producers.get(activation) ?? "") ?? "another op"} makes`;
}

/** The decisions of a run's plan in groups, those that save the most bytes first. */
export function decisionGroups(run: Run): DecisionGroup[] {
  const groupOf = groupNames(run);
  const groups = new Map<string, Decision[]>();
  for (const decision of run.plan?.decisions ?? []) {
    const name = groupOf(decision);
    addTo(groups, name, decision);
  }
  const sum = (decisions: readonly Decision[], value: (one: Decision) => number): number =>
    decisions.reduce((all, one) => all + value(one), 0);
  const all = sum(run.plan?.decisions ?? [], ({ savedBytes }) => savedBytes);
  return [...groups]
    .map(([name, decisions]) => ({ name, decisions, bytes: sum(decisions, ({ savedBytes }) => savedBytes) }))
    .sort((a, z) => z.bytes - a.bytes)
    .map(({ name, decisions, bytes }): DecisionGroup => {
      const most = decisions.reduce((a, z) => (z.savedBytes > a.savedBytes ? z : a));
      return {
        name,
        action: most.action,
        count: decisions.length,
        one: decisions.length === 1,
        saved: formatBytes(bytes),
        added: formatMs(sum(decisions, ({ addedMs }) => addedMs)),
        share: formatPercent(all > 0 ? bytes / all : 0),
        reason: most.why,
        first: most.activation,
      };
    });
}

/** The decisions as a table of the page, a row each; its first column names the group. */
export function decisionTable(run: Run): PageTable {
  const groupOf = groupNames(run);
  const modules = modulesOf(run);
  const estimated = run.before.estimated ? "estimated " : "";
  const decisions = run.plan?.decisions ?? [];
  return pageTableOf<Decision>(
    [
      { name: "group", title: "group", kind: "text", value: groupOf },
      { name: "order", title: "#", kind: "count", value: (one) => one.order + 1 },
      { name: "activation_name", title: "activation", kind: "text", value: (one) => one.activation },
      {
        name: "module",
        title: "module",
        kind: "text",
        value: (one) => (modules.basis === null ? "" : moduleText(modules.ofTensor(one.activation))),
      },
      { name: "action", title: "action", kind: "text", value: (one) => one.action },
      { name: "saved_bytes", title: "saved", kind: "bytes", value: (one) => one.savedBytes },
      { name: "added_time_ms", title: `${estimated}added time`, kind: "ms", value: (one) => one.addedMs },
      { name: "recompute_ratio", title: `${estimated}ratio`, kind: "ratio", value: (one) => one.recomputeRatio },
      { name: "inactive_time_ms", title: `${estimated}idle`, kind: "ms", value: (one) => one.inactiveMs },
      { name: "peak_after_bytes", title: "peak after", kind: "bytes", value: (one) => one.peakBytesAfter },
    ],
    decisions,
  );
}
