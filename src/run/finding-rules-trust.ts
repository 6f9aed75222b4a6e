import { few, formatBytes, formatMs, formatPercent } from "../format.js";
import { inferenceNote } from "../model/bind.js";
import { counted, type Rule, rule } from "./finding.js";
import { untrainedNote } from "./notes.js";
import type { Samples } from "./samples.js";

/** Whether a profile's times are those of steps that ran: here, or when they were recorded. */
const share = ({ spreadMs, medianMs }: Samples): number => (medianMs > 0 ? spreadMs / medianMs : 0);

const more = { iterations: 20, warmups: 5 };

/** Findings on how far a run's numbers hold, and on what the step computes. */
export const trustRules: readonly Rule[] = [
  rule({
    name: "loss-not-finite",
    severity: "problem",
    threshold: null,
    test: ({ run: { before, after } }) => {
      const [which, losses] = before.losses.includes(null)
        ? ["unplanned", before.losses]
        : ["planned", after?.losses ?? []];
      return losses.includes(null) && { which, count: losses.length, first: losses.indexOf(null) + 1 };
    },
    say: ({ which, count, first }, facts) => {
      const changed = { checkFinite: true };
      return {
        title: "The loss is not finite",
        evidence: `of ${count} losses of the ${which} step number ${first} is the first that is not finite`,
        todo: "Find the node that makes the first NaN or infinity.",
        command: facts.command(changed),
      };
    },
  }),
  rule({
    name: "loss-rises",
    severity: "note",
    threshold: { value: 0.1, of: "the first loss (by which the last one is above it)" },
    test: ({ run: { before } }, limit) => {
      const [first, last] = [before.losses[0], before.losses.at(-1)];
      return typeof first === "number" && typeof last === "number" && last - first > limit * Math.abs(first)
        ? { first, last, count: before.losses.length }
        : null;
    },
    say: ({ first, last, count }) => ({
      title: "The loss rises",
      evidence: `from ${first.toPrecision(4)} to ${last.toPrecision(4)} over ${count} steps on one batch`,
      todo: "A smaller learning rate (lr= in --optimizer); memory and time do not depend on it.",
    }),
  }),
  rule({
    name: "equality-differs",
    severity: "problem",
    threshold: null,
    test: ({ run: { equality } }) => (equality?.different.length ? equality : null),
    say: (equality, facts) => ({
      title: "The planned step computes something else",
      evidence: `${equality.different.length} of ${equality.compared} tensors differ, by ${equality.worstRelativeError === null ? "what is not finite" : `up to ${equality.worstRelativeError.toExponential(1)}`}: ${few(equality.different)}`,
      ...(equality.deterministic
        ? { todo: "Do not train with this plan; report it, with the model and the run.json." }
        : {
            todo: "Do not train with this plan; run it again: this version compares under deterministic kernels.",
            command: facts.command({}),
          }),
      ...(equality.different[0] === undefined ? {} : { module: facts.moduleOfTensor(equality.different[0]) }),
    }),
  }),
  rule({
    name: "batch-norm-inference",
    severity: "advice",
    threshold: null,
    test: ({ run: { model } }) =>
      model.notes
        .filter((note) => note === inferenceNote)
        .slice(0, 1)
        .map((note) => ({ note })),
    say: ({ note }, facts) => {
      const changed = { batchNorm: "training" as const };
      return {
        title: "Batch norm is in inference mode",
        evidence: note,
        todo: "For a real training step run it with the batch's statistics; memory and time are others then.",
        command: facts.command(changed),
      };
    },
  }),
  rule({
    name: "untrained",
    severity: "advice",
    threshold: null,
    test: ({ run: { model } }) =>
      model.notes
        .filter((note) => untrainedNote.test(note))
        .slice(0, 1)
        .map((note) => ({ note })),
    say: ({ note }) => ({
      title: "Parameters are not trained",
      evidence: note,
      todo: "Check the loss's output (--loss ce:output=NAME): what has no path to it gets no gradient.",
    }),
  }),
  rule({
    name: "prediction-off",
    severity: "note",
    threshold: { value: 0.05, of: "the predicted time of the planned step (measured in turn)" },
    test: ({ run: { paired, plan } }, limit) => {
      if (!paired || !plan) return null;
      const { unplanned, planned } = paired;
      const predicted = unplanned.medianMs + plan.addedMs;
      const off = planned.medianMs - predicted;
      const isNoise = Math.abs(off) <= unplanned.spreadMs + planned.spreadMs;
      return predicted > 0 && Math.abs(off) > limit * predicted && !isNoise && { predicted, planned, off };
    },
    say: ({ predicted, planned, off }, facts) => ({
      title: "The planned step's time is not as predicted",
      evidence: `${formatMs(predicted)} predicted, ${formatMs(planned.medianMs)} measured in turn with the unplanned step: ${off > 0 ? "+" : "−"}${formatPercent(Math.abs(off) / predicted)}`,
      todo: "Go by the measured time; more iterations tell whether it stays.",
      command: facts.command(more),
    }),
  }),
  rule({
    name: "noisy",
    severity: "note",
    threshold: { value: 0.1, of: "the step's median time (half the distance between the quartiles)" },
    test: ({ run: { before, paired } }, limit) => {
      if (before.estimated || before.simulated || before.backend === "tables") return null;
      return [before.step, ...(paired ? [paired.unplanned, paired.planned] : [])]
        .filter((one) => share(one) > limit)
        .slice(0, 1);
    },
    say: (step: Samples, facts) => ({
      title: "The machine is noisy",
      evidence: `steps take ${formatMs(step.medianMs)} ± ${formatMs(step.spreadMs)} (${formatPercent(share(step))}) over ${counted(step.samplesMs.length, "iteration")}`,
      todo: "Measure again when nothing else runs, with more iterations.",
      command: facts.command(more),
    }),
  }),
  rule({
    name: "node-sum-off",
    severity: "note",
    threshold: { value: 0.1, of: "the step's time (by which the sum of its nodes' differs)" },
    test: ({ run: { before } }, limit) => {
      if (before.estimated || before.simulated || before.offloaded || !(before.step.medianMs > 0)) return null;
      const off = before.nodesMs / before.step.medianMs - 1;
      return Math.abs(off) > limit && { off };
    },
    say: ({ off }, facts) => ({
      title: "The nodes' times do not add up to the step's",
      evidence: `their sum is ${formatMs(facts.run.before.nodesMs)}, the step takes ${formatMs(facts.run.before.step.medianMs)}: ${off > 0 ? "+" : "−"}${formatPercent(Math.abs(off))}`,
      todo: "Plans count with the nodes' times: measure again on a quiet machine.",
      command: facts.command(more),
    }),
  }),
  rule({
    name: "allocation-differs",
    severity: "note",
    threshold: { value: 0.05, of: "the predicted peak (by which the allocated bytes differ)" },
    test: ({ run: { before } }, limit) => {
      const off = before.allocatedBytes - before.arenaBytes;
      return before.allocatedBytes > 0 && Math.abs(off) > limit * before.arenaBytes && { off };
    },
    say: ({ off }, facts) => ({
      title: "More or less was allocated than predicted",
      evidence: `${formatBytes(facts.run.before.allocatedBytes)} allocated, ${formatBytes(facts.run.before.arenaBytes)} predicted (${off > 0 ? "+" : "−"}${formatBytes(Math.abs(off))})`,
      todo: "Leave as much free beside a budget.",
    }),
  }),
  rule({
    name: "replayed",
    severity: "note",
    threshold: null,
    test: ({ run: { before } }) => before.backend === "replay" && before,
    say: (before, facts) => ({
      title: "Numbers are replayed from a recording",
      evidence: `times are those recorded on ${before.device.name}; nothing was executed, allocated or compared`,
      todo: "Run it on the device to measure and to compare results.",
      command: facts.command({}),
    }),
  }),
  rule({
    name: "estimated",
    severity: "note",
    threshold: null,
    test: ({ run: { before } }) => before.estimated && before,
    say: (before) => ({
      title: "All times are estimated",
      evidence: `for ${before.device.name} from its description; nothing was executed or measured`,
      todo: "Measure on the device before you decide by a few percent.",
      estimated: true,
    }),
  }),
  rule({
    name: "simulated-step",
    severity: "note",
    threshold: null,
    test: ({ run: { before, after } }) => (before.simulated || before.offloaded ? before : after?.simulated && after),
    say: (profile, { run }) => ({
      title: "A step's time is simulated",
      evidence: `the ${profile === run.before ? "unplanned" : "planned"} step's ${formatMs(profile.step.medianMs)} are the sum of its nodes' times`,
      todo: "Measure the step as a whole on the device.",
    }),
  }),
  rule({
    name: "simulated-copies",
    severity: "note",
    threshold: null,
    test: ({ run: { before, plan } }) => {
      const simulated = new Set(before.activations.flatMap((row) => (row.swapMeasured ? [] : [row.name])));
      const swaps = plan?.decisions.filter((one) => one.action === "swap" && simulated.has(one.activation)) ?? [];
      return swaps.length > 0 && !before.estimated && { swaps };
    },
    say: ({ swaps }) => ({
      title: "Times of copies are simulated",
      evidence: `${counted(swaps.length, "activation")} swapped, and no copy between host and device was measured`,
      todo: "Measure on the device, or plan with --no-swap.",
    }),
  }),
];
