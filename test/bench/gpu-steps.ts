import { spawnSync } from "node:child_process";
import path from "node:path";
import { profileModel } from "../../src/run/pipeline.js";
import type { Run } from "../../src/run/run.js";
import { type BenchModel, common, modelFile, type Places, since, table } from "./gpu-models.js";

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

/** How mutwo runs them, and what it is compared with. */
const ours = { TF32: { peers: ["eager", "compiled"] }, bfloat16: { peers: ["compiled, autocast"] } } as const;

type Precision = keyof typeof ours;

const ms = (value: number | undefined): string => value?.toFixed(2) ?? "–";

const mb = (value: number | undefined): string => value?.toFixed(0) ?? "–";

const ratio = (one: number, other: number | undefined): string =>
  other === undefined ? "–" : (one / other).toFixed(2);

const percent = (share: number): string => `${share >= 0 ? "+" : ""}${(100 * share).toFixed(1)} %`;

/** Values and workspace, which is what PyTorch's max_memory_allocated counts. */
const usedMB = ({ before: { memory } }: Run): number =>
  ((memory?.valuesBytes ?? 0) + (memory?.workspaceBytes ?? 0)) / 1e6;

function timesOf(model: BenchModel, which: Precision, run: Run, theirs: Readonly<Record<Peer, PeerStep | undefined>>) {
  const { before } = run;
  const step = before.step.medianMs;
  const stronger = theirs[which === "TF32" ? "compiled" : "compiled, autocast"];
  return [
    `${model.name} b${model.batch}, ${which}`,
    ms(step),
    ...ours[which].peers.map((one) => ms(theirs[one]?.stepMs)),
    ...(which === "TF32" ? [] : ["–"]),
    ratio(step, theirs.eager?.stepMs),
    ratio(step, stronger?.stepMs),
    mb(usedMB(run)),
    mb(theirs.eager?.peakMB),
    mb(stronger?.peakMB),
    ratio(usedMB(run), which === "TF32" ? theirs.eager?.peakMB : stronger?.peakMB),
    percent(before.nodesMs / step - 1),
  ];
}

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
 * autocast. `record` keeps the runs of either precision as recordings.
 */
export async function steps(
  places: Places,
  models: readonly BenchModel[],
  record?: string,
): Promise<{ text: string; runs: unknown[] }> {
  const theirs = Object.fromEntries(
    (Object.keys(peers) as Peer[]).map((which) => [which, peer(places, which, models)]),
  ) as Record<Peer, Readonly<Record<string, PeerStep>>>;
  const [times, plans, runs]: [string[][], string[][], unknown[]] = [[], [], []];
  for (const model of models) {
    const beside = Object.fromEntries(Object.entries(theirs).map(([which, all]) => [which, all[model.name]])) as Record<
      Peer,
      PeerStep | undefined
    >;
    for (const which of Object.keys(ours) as Precision[]) {
      const began = performance.now();
      const name = which === "TF32" ? model.name : `${model.name}_${which}`;
      const run = await profileModel(modelFile(places, model.name), {
        ...common,
        dims: { batch: model.batch },
        ...(which === "TF32" ? { budget: model.budget } : { precision: "mixed:type=bfloat16" }),
        ...(record === undefined ? {} : { record: path.join(record, `${name}.recording`) }),
      });
      times.push(timesOf(model, which, run, beside));
      if (which === "TF32") plans.push(planOf(model, run, since(began)));
      const { before, plan, paired, equality, processPeak } = run;
      const { step, eagerStep, nodesMs, memory, copies } = before;
      runs.push({ model, which, step, eagerStep, nodesMs, memory, copies, processPeak, beside, paired, equality });
      runs.push({ plan: plan && { ...plan, decisions: plan.decisions.length }, seconds: since(began) });
    }
  }
  const timesHead = [
    "model",
    "mutwo ms",
    "PyTorch eager / compiled with autocast ms",
    "PyTorch compiled ms",
    "ratio to eager",
    "ratio to compiled",
    "values + workspace MB",
    "PyTorch eager MB",
    "PyTorch compiled MB",
    "ratio of MB (TF32: eager, else compiled)",
    "sum of nodes",
  ];
  const plansHead = [
    "planned",
    "arena: predicted, allocated",
    "memory",
    "step ms (off prediction)",
    "results",
    "whole s",
  ];
  return { text: `${table(timesHead, times)}\n${table(plansHead, plans)}`, runs };
}
