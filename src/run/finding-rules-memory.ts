import { formatBytes, formatMs, formatPercent } from "../format.js";
import type { ActivationRow } from "../memory/activation-rows.js";
import { own } from "../own.js";
import { counted, type Rule, rule, type Words } from "./finding.js";
import { type Facts, planNames } from "./finding-facts.js";
import { growing, isAsScores, peakAtBatch, scoresOf } from "./lever-bytes.js";
import type { Lever } from "./levers.js";
import type { PeakPart } from "./peak-parts.js";

/** What a lever is worth, and its command. */
export const leverWords = (facts: Facts, { command, changed, gainBytes, addedMs }: Lever) => ({
  ...(command === null ? {} : facts.tries(changed)),
  ...(gainBytes === null ? {} : { gainBytes }),
  ...(addedMs === null ? {} : { gainMs: -addedMs }),
  estimated: true,
});

/** A sentence that begins with a lever, in brackets what else it changes. */
export const leverText = ({ what, note }: Lever): string => `${what}${note ? ` (${note})` : ""}`;

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** What to do by a lever, or else in words. */
const byLever = (facts: Facts, lever: Lever | undefined, otherwise: string): Pick<Words, "todo"> & Partial<Words> =>
  lever ? { todo: `${capital(leverText(lever))}.`, ...leverWords(facts, lever) } : { todo: otherwise };

/** What lowers a tensor of a category most. */
function leverFor(facts: Facts, { category }: PeakPart): Lever | undefined {
  if (category === "optimizer state") return facts.bestLever(["optimizer", "freeze"]);
  if (category === "parameter" || category === "buffer") return facts.bestLever(["freeze", "optimizer"]);
  return facts.bestLever(["chunks", "accumulate", "batch"]);
}

const sumBytes = (parts: readonly { readonly bytes: number }[]): number =>
  parts.reduce((sum, { bytes }) => sum + bytes, 0);

/** Holders of the peak that are as large as the loss's scores. */
function scoreHolders({ graph, peak }: Facts): readonly PeakPart[] {
  const scores = scoresOf(graph);
  if (!scores) return [];
  return peak.parts.filter(({ name, within }) => {
    const tensor = within === null ? graph.tensors.get(name) : undefined;
    return tensor && isAsScores(tensor, scores);
  });
}

/** What the unplanned peak loses, by the timeline, if some activations are not there between their uses. */
function freed({ bytes, run }: Facts, rows: readonly ActivationRow[]): number {
  const gaps = rows.map(({ lastForwardAccess, firstBackwardAccess, memoryBytes }) => ({
    start: lastForwardAccess + 1,
    end: firstBackwardAccess - 1,
    bytes: -memoryBytes,
  }));
  return run.before.timeline.peakBytes - bytes.peakIf((storage) => storage.bytes, gaps);
}

/** A budget that leaves out so many bytes of the unplanned peak. */
const budgetWithout = (facts: Facts, bytes: number) => ({
  budget: `${Math.max(1, Math.ceil(facts.run.before.arenaBytes - bytes))}B`,
});

/** Findings on what holds the peak. */
export const memoryRules: readonly Rule[] = [
  rule({
    name: "update-sets-peak",
    severity: "advice",
    threshold: { value: 0.01, of: "the peak (share by which the update's exceeds all others)" },
    test: (facts, limit) => {
      const { node, timelineBytes, besideUpdateBytes, parts } = facts.peak;
      const made = parts.filter(
        ({ category, within }) => category === "temporary" || (category === "gradient" && !within),
      );
      const excess = timelineBytes - besideUpdateBytes;
      return node?.phase === "update" && excess > limit * timelineBytes && { node, excess, made };
    },
    say: ({ node, excess, made }, facts) => ({
      title: "The optimizer's update sets the peak",
      evidence: `at ${facts.nodeText(node.name)} ${formatBytes(sumBytes(made))} of temporaries and gradients are live; all other phases need ${formatBytes(excess)} less`,
      ...byLever(
        facts,
        facts.bestLever(["optimizer", "freeze"]),
        "Recomputing or swapping activations does not lower this peak; parameters that are frozen have no update.",
      ),
      node: node.name,
      module: facts.moduleOf(node.name),
    }),
  }),
  rule({
    name: "logits-set-peak",
    severity: "advice",
    threshold: { value: 0.1, of: "the peak (share of tensors as large as the loss's logits)" },
    test: (facts, limit) => {
      const held = scoreHolders(facts);
      const lever = held.length ? facts.lever("chunks") : undefined;
      const bytes = sumBytes(held);
      return lever && bytes >= limit * facts.peak.timelineBytes && { held, bytes, lever };
    },
    say: ({ held, bytes, lever }, facts) => ({
      title: "The loss's logits hold the peak",
      evidence: `${counted(held.length, "tensor")} as large as the logits: ${formatBytes(bytes)} (${formatPercent(bytes / facts.peak.timelineBytes)} of the ${facts.peak.which} peak), the first ${facts.named(held[0]?.name ?? "", held[0]?.module ?? "")}`,
      todo: `Compute ${leverText(lever)}.`,
      ...leverWords(facts, lever),
      module: held[0]?.module ?? "",
    }),
  }),
  rule({
    name: "one-tensor-third",
    severity: "advice",
    threshold: { value: 1 / 3, of: "the peak (share of one tensor)" },
    test: ({ peak }, limit) => peak.parts.filter(({ bytes }) => bytes >= limit * peak.timelineBytes).slice(0, 1),
    say: (part: PeakPart, facts) => ({
      title: "One tensor holds a third of the peak or more",
      evidence: `${facts.named(part.name, part.module)} (${part.category}) is ${formatBytes(part.bytes)}, ${formatPercent(part.bytes / facts.peak.timelineBytes)} of the ${facts.peak.which} peak`,
      ...byLever(facts, leverFor(facts, part), "No option makes it smaller; see whether the model needs it whole."),
      module: part.module,
      ...(part.producer === null ? {} : { node: part.producer }),
    }),
  }),
  rule({
    name: "optimizer-state",
    severity: "advice",
    threshold: { value: 1 / 3, of: "the peak (share of the optimizer's state)" },
    test: (facts, limit) => {
      const bytes = sumBytes(facts.peak.parts.filter(({ category }) => category === "optimizer state"));
      const lever = facts.bestLever(["optimizer"]);
      return lever && bytes >= limit * facts.peak.timelineBytes && { bytes, lever };
    },
    say: ({ bytes, lever }, facts) => ({
      title: "The optimizer's state holds a third of the peak or more",
      evidence: `${formatBytes(bytes)} of the ${facts.peak.which} peak (${formatPercent(bytes / facts.peak.timelineBytes)}) are state of ${facts.run.model.optimizer}`,
      ...byLever(facts, lever, ""),
    }),
  }),
  rule({
    name: "resident-holds-peak",
    severity: "note",
    threshold: { value: 0.75, of: "the peak (share of what lives through the whole step)" },
    test: ({ peak, run }, limit) => {
      const { residentBytes } = run.before.timeline;
      return residentBytes >= limit * peak.timelineBytes && residentBytes > 0 && { residentBytes };
    },
    say: ({ residentBytes }, facts) => ({
      title: "Most of the peak lives through the whole step",
      evidence: `parameters, optimizer state, buffers and inputs are ${formatBytes(residentBytes)}, ${formatPercent(residentBytes / facts.peak.timelineBytes)} of the ${facts.peak.which} peak`,
      ...byLever(
        facts,
        facts.bestLever(["optimizer", "freeze"]),
        "A plan frees activations only: a smaller model or optimizer state lowers this.",
      ),
    }),
  }),
  rule({
    name: "idle-swap",
    severity: "advice",
    threshold: { value: 2, of: "copies (an activation's idle time, in the time of a copy each way)" },
    test: (facts, limit) => {
      const { run, isGpu } = facts;
      if (!isGpu || run.plan || !(run.before.copies?.length || run.before.estimated)) return null;
      const rows = run.before.activations.filter(
        (row) => row.idleAtPeak && row.memoryBytes > 0 && row.swapMs > 0 && row.inactiveMs > limit * row.swapMs,
      );
      const bytes = rows.length ? freed(facts, rows) : 0;
      return bytes >= 0.05 * run.before.timeline.peakBytes && { rows, bytes };
    },
    say: ({ rows, bytes }, facts) => {
      const largest = rows.reduce((a, z) => (z.memoryBytes > a.memoryBytes ? z : a));
      const changed = budgetWithout(facts, bytes);
      return {
        title: `${counted(rows.length, "activation")} ${rows.length === 1 ? "is" : "are"} idle longer than swapping takes`,
        evidence: `the largest, ${facts.named(largest.name, facts.moduleOf(largest.producer))}, is ${formatBytes(largest.memoryBytes)} and idle for ${formatMs(largest.inactiveMs)} at the peak; a copy takes ${formatMs(largest.swapMs)} each way`,
        todo: "Plan for a budget that swaps them: the copies run beside the nodes.",
        ...facts.tries(changed),
        gainBytes: bytes,
        estimated: true,
        module: facts.moduleOf(largest.producer),
        node: largest.producer,
      };
    },
  }),
  rule({
    name: "idle-recompute",
    severity: "advice",
    threshold: { value: 0.2, of: "the peak (share that goes if idle activations are not there)" },
    test: (facts, limit) => {
      const { before, plan } = facts.run;
      // where copies are known, the finding on swaps says it
      if (plan || (facts.isGpu && (before.copies?.length || before.estimated))) return null;
      const rows = before.activations.filter((row) => row.idleAtPeak && row.memoryBytes > 0 && row.fixed === null);
      const bytes = rows.length ? freed(facts, rows) : 0;
      return bytes >= limit * before.timeline.peakBytes && { rows, bytes };
    },
    say: ({ rows, bytes }, facts) => {
      const gainBytes = Math.floor(bytes / 2);
      const changed = budgetWithout(facts, gainBytes);
      const largest = rows.reduce((a, z) => (z.memoryBytes > a.memoryBytes ? z : a));
      const idle = rows.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
      return {
        title: "Activations that wait for their backward use hold the peak",
        evidence: `${counted(rows.length, "activation")} of ${formatBytes(idle)} ${rows.length === 1 ? "is" : "are"} idle at the peak, the largest ${facts.named(largest.name, facts.moduleOf(largest.producer))}; without them it is ${formatBytes(bytes)} lower`,
        todo: "Plan for a budget, say half of that: what costs least time is recomputed.",
        ...facts.tries(changed),
        gainBytes,
        estimated: true,
        module: facts.moduleOf(largest.producer),
        node: largest.producer,
      };
    },
  }),
  rule({
    name: "micro-batches",
    severity: "advice",
    threshold: { value: 0.25, of: "the peak (share that micro-batches save)" },
    // a plan's budget is met, or findings on what would meet it say this
    test: ({ levers, peak, plan }, limit) =>
      plan
        ? []
        : levers.filter(
            ({ kind, gainBytes, command }) =>
              kind === "accumulate" && command !== null && (gainBytes ?? 0) >= limit * peak.bytes,
          ),
    say: (lever: Lever, facts) => ({
      title: "Micro-batches would lower the peak",
      evidence: `${leverText(lever)}: about ${formatBytes(lever.peakBytes ?? 0)} instead of ${formatBytes(facts.peak.bytes)} (estimated)`,
      todo: "Accumulate gradients over micro-batches: the same update from less memory.",
      ...leverWords(facts, lever),
    }),
  }),
  rule({
    name: "workspace",
    severity: "note",
    threshold: { value: 0.1, of: "the values (share of the kernels' workspace)" },
    test: ({ run: { before } }, limit) => {
      const { workspaceBytes, arenaBytes } = before;
      const row = before.nodes.reduce<(typeof before.nodes)[number] | undefined>(
        (a, z) => ((z.workspaceBytes ?? 0) > (a?.workspaceBytes ?? 0) ? z : a),
        undefined,
      );
      return (
        workspaceBytes !== null && arenaBytes > 0 && workspaceBytes > limit * arenaBytes && { workspaceBytes, row }
      );
    },
    say: ({ workspaceBytes, row }, facts) => ({
      title: "Kernels take much memory for themselves",
      evidence: `${formatBytes(workspaceBytes)} of workspace, ${formatPercent(workspaceBytes / facts.run.before.arenaBytes)} of the values${row ? `, most at ${facts.nodeText(row.name)}` : ""}`,
      todo: "A budget covers values only: leave this much free beside it.",
      ...(row ? { node: row.name, module: facts.moduleOf(row.name) } : {}),
    }),
  }),
  rule({
    name: "layout-waste",
    severity: "note",
    threshold: { value: 0.02, of: "the timeline's peak (share by which the arena exceeds it)" },
    test: ({ peak, plan }, limit) => {
      if (plan && !plan.feasible) return null;
      const waste = peak.bytes - peak.timelineBytes;
      return peak.timelineBytes > 0 && waste > limit * peak.timelineBytes && { waste };
    },
    say: ({ waste }, { peak, plan }) => ({
      title: "The layout of the arena has gaps",
      evidence: `the ${peak.which} step's values need ${formatBytes(peak.timelineBytes)} at once, the arena is ${formatBytes(peak.bytes)}: ${formatBytes(waste)} (${formatPercent(waste / peak.timelineBytes)}) more`,
      todo: plan
        ? "Another plan may lie closer: search longer (--time-limit) or for a slightly smaller budget."
        : "A plan that frees some of the large tensors at the peak often closes them.",
      gainBytes: waste,
      estimated: true,
    }),
  }),
  rule({
    name: "larger-batch",
    severity: "note",
    threshold: { value: 0.45, of: "the device's memory (share that the step leaves more than free)" },
    test: (facts, limit) => {
      const { isGpu, run, batchDim, peak, plan } = facts;
      const memory = run.before.device.memoryBytes;
      const batch = batchDim === undefined ? undefined : own(run.model.dims, batchDim);
      if (!isGpu || batch === undefined || batchDim === undefined || !(memory > 0) || peak.bytes > limit * memory)
        return null;
      if (plan && !plan.feasible) return null;
      const grows = growing(facts.graph, batch);
      const { bytes } = facts;
      // what is far from the run's own batch is not known well
      const largest = 64 * batch;
      let size = batch;
      while (size < largest && peakAtBatch(bytes, grows, (2 * size) / batch) <= 2 * limit * memory) size *= 2;
      return size > batch && { size, batch, dim: batchDim, needed: peakAtBatch(bytes, grows, size / batch) };
    },
    say: ({ size, batch, dim, needed }, facts) => {
      const { device, arenaBytes } = facts.run.before;
      const changed = { dims: { ...facts.run.model.dims, [dim]: size } };
      return {
        title: "A larger batch would fit",
        evidence: `the unplanned step needs ${formatBytes(arenaBytes)} of the ${formatBytes(device.memoryBytes)} of ${device.name}; ${size} instead of ${batch} samples need about ${formatBytes(needed)} (estimated)`,
        todo: "More samples a step keep the device busier.",
        command: facts.command(changed, planNames),
        estimated: true,
      };
    },
  }),
];
