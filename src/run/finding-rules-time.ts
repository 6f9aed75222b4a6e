import { few, formatMs, formatPercent } from "../format.js";
import { opOf } from "../ops/index.js";
import { own } from "../own.js";
import { counted, type Rule, rule } from "./finding.js";
import type { Facts, Speed } from "./finding-facts.js";
import { branches, moduleTree } from "./module-tree.js";
import { isOutside, moduleText } from "./modules.js";
import type { NodeRow } from "./node-rows.js";

/** Nodes that only move values: they compute nothing, and what they make is not another view of what was there. */
const moves = ({ op, flops, outputBytes }: NodeRow): boolean =>
  flops === 0 && outputBytes > 0 && op !== "Cast" && !op.startsWith("mutwo.");

/** The module where so much of some nodes' time is spent that it is worth naming; undefined where there is none. */
function mostIn(facts: Facts, rows: readonly NodeRow[]): string | undefined {
  const times = new Map<string, number>();
  for (const { name, time } of rows) {
    const module = facts.moduleOf(name);
    times.set(module, (times.get(module) ?? 0) + time.medianMs);
  }
  const all = [...times.values()].reduce((sum, ms) => sum + ms, 0);
  const [most] = [...times].find(([, ms]) => ms >= all / 2) ?? [];
  return most === undefined || isOutside(most) ? undefined : most;
}

/** Nodes of some kind that take a share of the time or more: how many, how long, and where most. */
function portion(facts: Facts, picks: (row: NodeRow) => boolean, limit: number) {
  const rows = facts.run.before.nodes.filter((row) => row.time.medianMs > 0 && picks(row));
  const ms = rows.reduce((sum, { time }) => sum + time.medianMs, 0);
  const share = facts.shareOf(ms);
  if (rows.length === 0 || share < limit) return null;
  return { rows, ms, share, most: mostIn(facts, rows) };
}

type Portion = NonNullable<ReturnType<typeof portion>>;

/** `12 nodes take 3.4 ms, 20.0 % of the nodes' time, most of it in encoder`. */
const portionText = (_facts: Facts, { rows, ms, share, most }: Portion): string =>
  `${counted(rows.length, "node")} ${rows.length === 1 ? "takes" : "take"} ${formatMs(ms)}, ${formatPercent(share)} of the nodes' time${
    most === undefined ? "" : `, most of it in ${moduleText(most)}`
  }`;

/** The same with the longest of them. */
const longestText = (facts: Facts, found: Portion): string =>
  `${portionText(facts, found)}, the longest ${facts.nodeText(found.rows.reduce((a, z) => (z.time.medianMs > a.time.medianMs ? z : a)).name)}`;

/** Whether a node is a product or a convolution in float32. */
function floatProducts({ graph }: Facts): (row: NodeRow) => boolean {
  return ({ rank }) => {
    const node = graph.nodes[rank];
    if (!node || !(opOf(node).product || opOf(node).productGradient)) return false;
    return graph.tensors.get(node.inputs[0] ?? "")?.dtype === "float32";
  };
}

/** Least time of a node that says anything of its speed, ms: shorter ones are bound by their launch. */
const leastMs = 0.02;

/** Least share of the nodes' time that a single node must take to be told of. */
const leastShare = 0.02;

/** The node that loses most time to the rate that is possible, of those under a share of it. */
function slowest(facts: Facts, limit: number) {
  const isLong = ({ time: { medianMs } }: NodeRow): boolean =>
    medianMs >= leastMs && facts.shareOf(medianMs) >= leastShare;
  if (!facts.run.before.nodes.some(isLong)) return null;
  const slow = facts.speeds.filter(
    ({ row, leastMs: least }) => row.time.medianMs >= leastMs && least < limit * row.time.medianMs,
  );
  const lost = ({ row, leastMs: least }: Speed): number => row.time.medianMs - least;
  const worst = slow.reduce<Speed | undefined>((a, z) => (a && lost(a) >= lost(z) ? a : z), undefined);
  const total = slow.reduce((sum, one) => sum + lost(one), 0);
  return worst && facts.shareOf(worst.row.time.medianMs) >= leastShare ? { slow, worst, total } : null;
}

/** Findings on where the time goes. */
export const timeRules: readonly Rule[] = [
  rule({
    name: "launch-bound",
    severity: "advice",
    threshold: { value: 0.3, of: "the nodes' time (share of nodes under 5 µs)" },
    test: (facts, limit) => {
      if (!facts.isGpu || facts.run.before.estimated) return null;
      const found = portion(facts, ({ time }) => time.medianMs < 0.005, limit);
      return found && found.rows.length >= 20 && found;
    },
    say: (found: Portion, facts) => {
      const { dims } = facts.run.model;
      const dim = facts.batchDim;
      const changed = dim === undefined ? undefined : { dims: { ...dims, [dim]: 2 * (own(dims, dim) ?? 1) } };
      return {
        title: "Kernels are too short for the device",
        evidence: `${portionText(facts, found)}; each is under 5 µs, about what a launch takes`,
        todo: "Give each kernel more to do: a larger batch takes hardly longer.",
        ...(changed ? { command: facts.command(changed) } : {}),
        module: found.most,
      };
    },
  }),
  rule({
    name: "host-launches",
    severity: "note",
    threshold: { value: 1.5, of: "the captured step's time (the same step launched by the host)" },
    test: ({ run: { before } }, limit) =>
      before.eagerStep && before.step.medianMs > 0 && before.eagerStep.medianMs > limit * before.step.medianMs
        ? before.eagerStep
        : null,
    say: (eager, facts) => ({
      title: "Launching kernels one by one would cost more than computing",
      evidence: `the step takes ${formatMs(facts.run.before.step.medianMs)} as one captured graph and ${formatMs(eager.medianMs)} launched by the host`,
      todo: "In PyTorch capture the step too (torch.cuda.graphs, or torch.compile with mode reduce-overhead).",
    }),
  }),
  rule({
    name: "off-roofline",
    severity: "advice",
    threshold: { value: 0.1, of: "the roofline of the device's data sheet (share that a node reaches)" },
    test: (facts, limit) => (facts.spec && facts.isTimed ? slowest(facts, limit) : null),
    say: ({ slow, worst, total }, facts) => ({
      title: "Nodes are far from what the device can do",
      evidence: `${facts.nodeText(worst.row.name)} (${worst.row.op}) takes ${formatMs(worst.row.time.medianMs)}; its operations and bytes take ${formatMs(worst.leastMs)} at the peaks of ${facts.spec?.name}; of all such nodes (${slow.length}) ${formatMs(total)} are lost`,
      todo: "See the shapes: channels and widths that are multiples of 8, few groups, no tiny rows.",
      // at most
      gainMs: worst.row.time.medianMs - worst.leastMs,
      estimated: true,
      node: worst.row.name,
      module: facts.moduleOf(worst.row.name),
    }),
  }),
  rule({
    name: "slower-than-its-kind",
    severity: "note",
    threshold: { value: 0.1, of: "the best rate of the same op in the run (share that a node reaches)" },
    test: (facts, limit) => (facts.spec || !facts.isTimed ? null : slowest(facts, limit)),
    say: ({ slow, worst }, facts) => ({
      title: "A node is far slower than others of its op",
      evidence: `${facts.nodeText(worst.row.name)} (${worst.row.op}) takes ${formatMs(worst.row.time.medianMs)}; at the best rate of a ${worst.row.op} in this run it would take ${formatMs(worst.leastMs)}; such nodes: ${slow.length}`,
      todo: "See its shapes beside those of the fast ones.",
      // at most
      gainMs: worst.row.time.medianMs - worst.leastMs,
      estimated: true,
      node: worst.row.name,
      module: facts.moduleOf(worst.row.name),
    }),
  }),
  rule({
    name: "casts",
    severity: "advice",
    threshold: { value: 0.1, of: "the nodes' time (share of casts)" },
    test: (facts, limit) => portion(facts, ({ op }) => op === "Cast", limit),
    say: (found: Portion, facts) => ({
      title: "Casts take a tenth of the time or more",
      evidence: longestText(facts, found),
      todo: facts.run.model.precision
        ? "Where many small nodes change the type, full precision may be as fast: measure without --precision."
        : "Keep one type through the model: the casts are in the file.",
      gainMs: found.ms,
      estimated: true,
      module: found.most,
    }),
  }),
  rule({
    name: "movement",
    severity: "advice",
    threshold: { value: 0.1, of: "the nodes' time (share of transposes, copies and look-ups)" },
    test: (facts, limit) => portion(facts, moves, limit),
    say: (found: Portion, facts) => ({
      title: "Nodes that only move values take a tenth of the time or more",
      evidence: `${longestText(facts, found)}: ${few([...new Set(found.rows.map(({ op }) => op))])}`,
      todo: "Keep one layout of tensors from layer to layer: a transposed weight, or heads split by a product, saves them.",
      gainMs: found.ms,
      estimated: true,
      module: found.most,
    }),
  }),
  rule({
    name: "update-time",
    severity: "advice",
    threshold: { value: 0.25, of: "the nodes' time (share of the update)" },
    test: (facts, limit) => portion(facts, ({ phase }) => phase === "update", limit),
    say: (found: Portion, facts) => {
      const changed = { accumulate: 4 * (facts.run.model.accumulate ?? 1) };
      return {
        title: "The update takes a quarter of the step or more",
        evidence: `${counted(found.rows.length, "node")} of ${facts.run.model.optimizer} take ${formatMs(found.ms)}, ${formatPercent(found.share)} of the nodes' time`,
        todo: "Update less often: a larger batch, or gradients accumulated over micro-batches of this size.",
        command: facts.command(changed),
      };
    },
  }),
  rule({
    name: "one-module",
    severity: "note",
    threshold: { value: 0.5, of: "the nodes' time (share of one module)" },
    test: ({ run }, limit) => {
      const { basis, root } = moduleTree(run);
      if (basis === null) return null;
      // the deepest that still holds so much; what holds all the rest of the model tells nothing
      const holding = branches(root).filter(
        ({ path, total, children }) =>
          path &&
          !isOutside(path) &&
          total.timeShare >= limit &&
          total.timeShare < 0.999 &&
          (children.length === 0 || children.every((one) => one.total.timeShare < limit)),
      );
      return holding[0] && { branch: holding[0] };
    },
    say: ({ branch: { path, total, class: type } }) => ({
      title: "One module takes half of the time or more",
      evidence: `${moduleText(path)}${type ? ` (${type.split(".").at(-1)})` : ""} takes ${formatMs(total.ms)}, ${formatPercent(total.timeShare)} of the nodes' time, in ${counted(total.nodes, "node")}`,
      todo: "Look there first.",
      module: path,
    }),
  }),
  rule({
    name: "tf32-off",
    severity: "advice",
    threshold: { value: 0.2, of: "the nodes' time (share of products in float32)" },
    test: (facts, limit) =>
      facts.isGpu && facts.run.before.device.settings?.TF32 === "off" && portion(facts, floatProducts(facts), limit),
    say: (found: Portion, facts) => ({
      title: "TF32 is off",
      evidence: longestText(facts, found),
      todo: "Let products round their inputs to TF32 (without --no-tf32), where the training allows.",
      command: facts.command({}),
    }),
  }),
  rule({
    name: "float32-products",
    severity: "advice",
    threshold: { value: 0.4, of: "the nodes' time (share of products in float32)" },
    test: (facts, limit) => facts.isGpu && facts.lever("precision") && portion(facts, floatProducts(facts), limit),
    say: (found: Portion, facts) => {
      const changed = { precision: "mixed" };
      return {
        title: "Products in 16 bits may be faster",
        evidence: longestText(facts, found),
        todo: "Try mixed precision; it may raise or lower the peak.",
        ...facts.tries(changed),
        module: found.most,
      };
    },
  }),
  rule({
    name: "deterministic",
    severity: "note",
    threshold: null,
    test: ({ isGpu, run: { before } }) => isGpu && before.device.settings?.deterministic === "yes" && before,
    say: (before, facts) => ({
      title: "Only deterministic kernels are used",
      evidence: `the step of ${formatMs(before.step.medianMs)} was made with --deterministic on ${before.device.name}`,
      todo: "Measure without it to see what it costs.",
      command: facts.command({}),
    }),
  }),
];
