import { spawnSync } from "node:child_process";
import path from "node:path";
import { profileModel } from "../../src/run/pipeline.js";
import type { Run } from "../../src/run/run.js";
import { type BenchModel, common, modelFile, type Places, progressOf, since, table } from "./gpu-models.js";

/** Time and peak of one model in PyTorch. */
interface PeerStep {
  readonly stepMs: number;
  readonly peakMB: number;
}

/** How PyTorch runs the models: flags of torch_peer.py. */
const peers = { eager: [], compiled: ["--compile"], "compiled, autocast": ["--compile", "--autocast"] } as const;

type Peer = keyof typeof peers;

/** PyTorch's numbers of the models; none where there is no PyTorch with CUDA. */
function peer({ scripts }: Places, which: Peer, models: readonly BenchModel[]): Readonly<Record<string, PeerStep>> {
  const args = [path.join(scripts, "torch_peer.py"), ...peers[which], ...models.map(({ name }) => name)];
  const result = spawnSync("python3", args, { encoding: "utf8", timeout: 400_000 });
  if (result.status === 0) return JSON.parse(result.stdout.trim().split("\n").at(-1) ?? "").models;
  const [last] = (result.stderr || String(result.error)).trim().split("\n").slice(-1);
  process.stderr.write(`no PyTorch beside (${which}): ${last}\n`);
  return {};
}

/** How mutwo runs them. */
const precisions = { TF32: {}, bfloat16: { precision: "mixed:type=bfloat16" } } as const;

type Precision = keyof typeof precisions;

const ms = (value: number | undefined): string => value?.toFixed(2) ?? "–";

const mb = (value: number | undefined): string => value?.toFixed(0) ?? "–";

const ratio = (one: number, other: number | undefined): string =>
  other === undefined ? "–" : (one / other).toFixed(2);

const percent = (share: number): string => `${share >= 0 ? "+" : ""}${(100 * share).toFixed(1)} %`;

/** Values and workspace, which is what PyTorch's max_memory_allocated counts. */
const usedMB = ({ before: { memory } }: Run): number =>
  ((memory?.valuesBytes ?? 0) + (memory?.workspaceBytes ?? 0)) / 1e6;

type Runs = Readonly<Record<Precision, Run>>;

type Theirs = Readonly<Record<Peer, PeerStep | undefined>>;

const timesHead = [
  "step, ms",
  "PyTorch eager",
  "compiled",
  "mutwo",
  "of eager",
  "of compiled",
  "compiled, bf16 autocast",
  "mutwo, bf16",
  "of compiled",
  "sum of nodes",
];

function timesOf({ name, batch }: BenchModel, runs: Runs, theirs: Theirs): string[] {
  const [step, half] = [runs.TF32.before.step.medianMs, runs.bfloat16.before.step.medianMs];
  const { eager, compiled, "compiled, autocast": cast } = theirs;
  return [
    `${name} b${batch}`,
    ...[eager?.stepMs, compiled?.stepMs, step].map(ms),
    ratio(step, eager?.stepMs),
    ratio(step, compiled?.stepMs),
    ...[cast?.stepMs, half].map(ms),
    ratio(half, cast?.stepMs),
    percent(runs.TF32.before.nodesMs / step - 1),
  ];
}

const peaksHead = [
  "peak, MB",
  "PyTorch eager",
  "compiled",
  "mutwo: values and workspace",
  "of eager",
  "compiled, bf16 autocast",
  "mutwo, bf16",
  "of compiled",
];

function peaksOf({ name, batch }: BenchModel, runs: Runs, theirs: Theirs): string[] {
  const { eager, compiled, "compiled, autocast": cast } = theirs;
  const [used, half] = [usedMB(runs.TF32), usedMB(runs.bfloat16)];
  return [
    `${name} b${batch}`,
    ...[eager?.peakMB, compiled?.peakMB, used].map(mb),
    ratio(used, eager?.peakMB),
    ...[cast?.peakMB, half].map(mb),
    ratio(half, cast?.peakMB),
  ];
}

const plansHead = [
  "planned, budget",
  "arena: predicted, allocated",
  "memory",
  "step, ms (off prediction)",
  "results",
  "profile, plan, execute, compare, s",
];

/** Of the planned step: its memory, its time and how far that is off what was predicted, what it computes. */
function planOf(model: BenchModel, { before, plan, paired, equality }: Run, seconds: string): string[] {
  const predicted = (paired?.unplanned ?? before.step).medianMs + (plan?.addedMs ?? 0);
  const measured = paired?.planned.medianMs;
  return [
    `${model.name} b${model.batch}, ${model.budget}`,
    before.arenaBytes === before.allocatedBytes ? "equal" : "differs",
    plan?.feasible ? percent(plan.peakBytes / before.arenaBytes - 1) : "infeasible",
    measured === undefined ? "–" : `${ms(measured)} (${percent(measured / predicted - 1)})`,
    equality ? (equality.bitwise ? "bits" : `${equality.different.length} differ`) : "–",
    seconds,
  ];
}

/**
 * Step times and peaks beside PyTorch's, eager and compiled with CUDA graphs: in TF32, and in mixed precision beside
 * autocast; and what plans come to. `record` is the folder that keeps the runs as recordings.
 */
export async function steps(
  places: Places,
  models: readonly BenchModel[],
  record?: string,
): Promise<{ text: string; results: unknown[] }> {
  const all = (Object.keys(peers) as Peer[]).map((which) => [which, peer(places, which, models)] as const);
  const [times, peaks, plans, results]: [string[][], string[][], string[][], unknown[]] = [[], [], [], []];
  const say = progressOf();
  for (const model of models) {
    const run = (which: Precision): Promise<Run> => {
      say(`${model.name}, ${which}`);
      return profileModel(modelFile(places, model.name), {
        ...common,
        ...precisions[which],
        dims: { batch: model.batch },
        ...(which === "TF32" ? { budget: model.budget } : {}),
        ...(record === undefined
          ? {}
          : { record: path.join(record, `${model.name}${which === "TF32" ? "" : `_${which}`}.recording`) }),
      });
    };
    const theirs = Object.fromEntries(all.map(([which, found]) => [which, found[model.name]])) as Theirs;
    const began = performance.now();
    const TF32 = await run("TF32");
    plans.push(planOf(model, TF32, since(began)));
    const runs: Runs = { TF32, bfloat16: await run("bfloat16") };
    times.push(timesOf(model, runs, theirs));
    peaks.push(peaksOf(model, runs, theirs));
    results.push({ model, theirs, ours: Object.entries(runs).map(([which, one]) => ({ which, ...figuresOf(one) })) });
  }
  return { text: [table(timesHead, times), table(peaksHead, peaks), table(plansHead, plans)].join("\n"), results };
}

/** What was measured, without tables of nodes. */
const figuresOf = ({ before, plan, after, paired, equality, processPeak }: Run) => {
  const { step, eagerStep, nodesMs, memory, copies } = before;
  const planned = plan && { ...plan, decisions: plan.decisions.length };
  return { step, eagerStep, nodesMs, memory, copies, processPeak, plan: planned, after: after?.step, paired, equality };
};
