// mutwo beside PyTorch on the same GPU, in one run: npm run bench:gpu [-- --record DIR] [--compile] [--models a,b]
// Prints the table of `mutwo help benchmarks`; PyTorch's column is empty where python3 has no PyTorch with CUDA.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { profileModel } from "../../src/run/pipeline.js";

interface Peer {
  readonly models: Readonly<Record<string, { readonly stepMs: number; readonly peakMB: number }>>;
}

const options = {
  record: { type: "string" },
  models: { type: "string" },
  fixtures: { type: "string" },
  compile: { type: "boolean" },
  json: { type: "boolean" },
} as const;

/** Ends with one line for what went wrong. */
function fail({ message }: Error): never {
  process.stderr.write(`bench: ${message.split("\n")[0]}\n`);
  process.exit(2);
}

function readFlags() {
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    return fail(error as Error);
  }
}

const flags = readFlags();

const here = flags.fixtures ?? path.join(__dirname, "../fixtures");

const all: readonly { name: string; batch: number; budget: string; planner?: string }[] = [
  { name: "resnet50", batch: 64, budget: "70%" },
  { name: "bert_base", batch: 32, budget: "80%" },
  { name: "gpt2_small", batch: 8, budget: "70%" },
  { name: "vit_b16", batch: 32, budget: "75%" },
  { name: "resnet18", batch: 4, budget: "95%" },
];

const chosen = all.filter(({ name }) => !flags.models || flags.models.split(",").includes(name));

/** PyTorch's numbers of the same models; undefined where there is no PyTorch. */
function peer(...args: string[]): Peer | undefined {
  const script = path.join(flags.fixtures ? path.dirname(here) : path.join(__dirname, ".."), "bench/torch_peer.py");
  const result = spawnSync("python3", [script, ...args, ...chosen.map(({ name }) => name)], {
    encoding: "utf8",
    timeout: 400_000,
  });
  if (result.status === 0) return JSON.parse(result.stdout.trim().split("\n").at(-1) ?? "") as Peer;
  process.stderr.write(`no PyTorch beside: ${(result.stderr || String(result.error)).trim().split("\n").at(-1)}\n`);
  return undefined;
}

const percent = (share: number): string => `${share >= 0 ? "+" : ""}${(100 * share).toFixed(1)} %`;

const ratio = (ours: number, theirs: number | undefined): string =>
  theirs === undefined ? "–" : (ours / theirs).toFixed(2);

const ms = (value: number | undefined): string => (value === undefined ? "–" : value.toFixed(2));

const mb = (value: number | undefined): string => (value === undefined ? "–" : value.toFixed(0));

async function main(): Promise<void> {
  if (flags.record) mkdirSync(flags.record, { recursive: true });
  const eager = peer();
  const compiled = flags.compile ? peer("--compile") : undefined;
  const rows: string[][] = [];
  const results: unknown[] = [];
  for (const { name, batch, budget, planner } of chosen) {
    const file = [path.join(here, "full", `${name}.onnx`), path.join(here, `${name}.onnx`)].find(existsSync);
    if (!file) throw new Error(`no model: ${name}`);
    const began = performance.now();
    const run = await profileModel(file, {
      loss: "ce",
      optimizer: "adam:lr=1e-4",
      dims: { batch },
      backend: "cuda",
      budget,
      ...(planner ? { planner } : {}),
      ...(flags.record ? { record: path.join(flags.record, `${name}.recording`) } : {}),
    });
    const seconds = (performance.now() - began) / 1000;
    const { before, plan, after, paired, equality } = run;
    const torch = eager?.models[name];
    const usedMB = ((before.memory?.valuesBytes ?? 0) + (before.memory?.workspaceBytes ?? 0)) / 1e6;
    const predictedMs = (paired?.unplanned ?? before.step).medianMs + (plan?.addedMs ?? 0);
    const plannedMs = (paired?.planned ?? after?.step)?.medianMs;
    rows.push([
      `${name} b${batch}`,
      ms(before.step.medianMs),
      ms(torch?.stepMs),
      ratio(before.step.medianMs, torch?.stepMs),
      ...(compiled ? [ratio(before.step.medianMs, compiled.models[name]?.stepMs)] : []),
      ms(before.eagerStep?.medianMs),
      percent(before.nodesMs / before.step.medianMs - 1),
      mb(usedMB),
      mb(torch?.peakMB),
      ratio(usedMB, torch?.peakMB),
      before.arenaBytes === before.allocatedBytes ? "equal" : "differs",
      plan?.feasible ? `${percent(plan.peakBytes / before.arenaBytes - 1)}` : "infeasible",
      plannedMs === undefined ? "–" : `${ms(plannedMs)} (${percent(plannedMs / predictedMs - 1)})`,
      equality ? (equality.bitwise ? "bits" : (equality.worstRelativeError ?? Number.NaN).toExponential(1)) : "–",
      seconds.toFixed(1),
    ]);
    const { memory, eagerStep, step, nodesMs, copies } = before;
    results.push({
      name,
      batch,
      step,
      eagerStep,
      nodesMs,
      memory,
      copies,
      torch,
      compiled: compiled?.models[name],
      plan: plan && { ...plan, decisions: plan.decisions.length },
      after: after?.step,
      paired,
      equality,
      seconds,
    });
  }
  const head = [
    "model",
    "mutwo, captured ms",
    "PyTorch eager ms",
    "ratio",
    ...(compiled ? ["ratio to compiled"] : []),
    "mutwo, host launches ms",
    "sum of nodes",
    "values + workspace MB",
    "PyTorch peak MB",
    "ratio",
    "arena: predicted, allocated",
    "plan: memory",
    "plan: step ms (off prediction)",
    "plan: results",
    "profile, plan, execute s",
  ];
  process.stdout.write(
    flags.json
      ? `${JSON.stringify(results)}\n`
      : `${[head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n")}\n`,
  );
}

void main().catch(fail);
