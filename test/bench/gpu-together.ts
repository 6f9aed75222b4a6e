import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { profileModel } from "../../src/run/pipeline.js";
import type { Arrangement, Together } from "../../src/run/together.js";
import { type Places, progressOf, rowOf, since, table } from "./gpu-models.js";

/** Models in one step, as test/bench/torch_together.py makes them. */
interface TogetherCase {
  readonly name: string;
  readonly models: readonly string[];
  readonly copies: number;
  /** One for each of the models. */
  readonly losses: readonly string[];
}

const cases: readonly TogetherCase[] = [
  { name: "resnet18", models: ["resnet18"], copies: 8, losses: ["ce"] },
  { name: "mlp", models: ["mlp"], copies: 100, losses: ["mse"] },
  { name: "mixed", models: ["resnet18", "mlp", "llama", "unet"], copies: 1, losses: ["ce", "mse", "ce", "mse"] },
  { name: "mobilenet", models: ["mobilenet"], copies: 8, losses: ["ce"] },
  { name: "bert", models: ["bert"], copies: 4, losses: ["ce"] },
  { name: "vit", models: ["vit"], copies: 4, losses: ["ce"] },
];

/** How PyTorch trains several models: ways of torch_together.py. */
const peers = ["alone", "processes", "compiled", "vmap"] as const;

type PeerTimes = Partial<Record<string, number>>;

/** Seconds that a case may take: mutwo's part, and PyTorch's. */
const [ownLimit, peerLimit] = [60, 100];

/** PyTorch's times of a case, those that there were until the limit; none where there is no PyTorch with CUDA. */
function peersOf({ scripts }: Places, name: string): PeerTimes {
  const { stdout, stderr } = spawnSync("python3", [path.join(scripts, "torch_together.py"), name], {
    encoding: "utf8",
    timeout: peerLimit * 1000,
  });
  process.stderr.write(stderr.split("\n").slice(-8).join("\n"));
  const lines = stdout.split("\n").filter((line) => line.startsWith("{"));
  return Object.fromEntries(lines.map((line) => JSON.parse(line)).map(({ way, ms }) => [way, ms]));
}

const ms = (value: number | null | undefined): string =>
  value === null || value === undefined ? "–" : value.toFixed(3);

const times = (one: number, other: number): string =>
  Number.isFinite(one) && Number.isFinite(other) ? `${(one / other).toFixed(2)} ×` : "–";

const arrangements: readonly Arrangement[] = ["side-by-side", "fused", "multiplexed"];

/** The best measured time of an arrangement. */
function timeOf({ arranged }: Together, name: Arrangement): number | undefined {
  const all = arranged.flatMap(({ arrangement, measuredMs }) => (arrangement === name ? (measuredMs ?? []) : []));
  return all.length ? Math.min(...all) : undefined;
}

const optimizer = "adam:lr=1e-4";

/** Step time of one model with all models' batches as one, ms: what one model's kernels need for as much data. */
async function oneOfAll(file: string, loss: string, backend: "cuda" | "cpu"): Promise<number | undefined> {
  if (!existsSync(file)) return undefined;
  const { before } = await profileModel(file, { loss, optimizer, backend, signal: AbortSignal.timeout(20_000) });
  return before.step.medianMs;
}

/** What is measured: on which device, and whether PyTorch beside. */
export interface TogetherOptions {
  readonly backend: "cuda" | "cpu";
  readonly torch: boolean;
}

const head = [
  "models in one step, ms",
  "one after another",
  ...arrangements,
  "executed",
  "faster",
  "as alone",
  "one model, all batches",
  ...peers.map((one) => `PyTorch ${one}`),
  "against the best of PyTorch",
  "s",
];

/** What a case was measured to take, and its row of the table. */
async function measured(
  { name, models, copies, losses }: TogetherCase,
  places: Places,
  { backend, torch }: TogetherOptions,
): Promise<{ row: string[]; result: unknown }> {
  const began = performance.now();
  const [first = "", ...others] = models.map((model) => path.join(places.models, `${model}.onnx`));
  const { together, before } = await profileModel(first, {
    loss: losses[0] as string,
    optimizer,
    backend,
    copies,
    signal: AbortSignal.timeout(ownLimit * 1000),
    ...(others.length ? { together: others, vary: [`loss=${losses.join()}`] } : {}),
  });
  const found = together as Together;
  const { stepMs } = found.alone;
  const best = timeOf(found, found.executed) ?? before.step.medianMs;
  const all = others.length
    ? undefined
    : await oneOfAll(`${first.slice(0, -5)}_all.onnx`, losses[0] as string, backend);
  const theirs = torch ? peersOf(places, name) : {};
  const row = [
    `${copies * models.length} × ${models.join(", ")}`,
    ms(stepMs),
    ...arrangements.map((one) => ms(timeOf(found, one))),
    found.executed,
    times(stepMs, best),
    found.sameAsAlone?.bitwise ? "bits" : (found.sameAsAlone?.worstRelativeError?.toExponential(1) ?? "–"),
    ms(all),
    ...peers.map((one) => ms(theirs[one])),
    times(Math.min(...Object.values(theirs).map(Number)), best),
    since(began),
  ];
  const { alone, arranged, executed, sameAsAlone, notes } = found;
  return { row, result: { name, alone, arranged, executed, sameAsAlone, notes, oneOfAllMs: all, theirs } };
}

/**
 * Steps of several models together, beside each model's own step one after the other and beside PyTorch. `models` are ONNX
 * files that torch_together.py --export has written; cases whose files are missing are left out, and said. Rows are written
 * as they come.
 */
export async function togetherBench(
  places: Places,
  names: readonly string[] | undefined,
  options: TogetherOptions,
  write: (text: string) => void,
): Promise<unknown[]> {
  const results: unknown[] = [];
  const say = progressOf();
  write(table(head, []));
  for (const one of cases) {
    const { name, models } = one;
    if (!(names?.includes(name) ?? true)) continue;
    say(name);
    const missing = models.find((model) => !existsSync(path.join(places.models, `${model}.onnx`)));
    try {
      if (missing) throw new Error(`no model ${missing} in ${places.models}`);
      const { row, result } = await measured(one, places, options);
      write(rowOf(row));
      results.push(result);
    } catch (error) {
      write(rowOf([`${name}: ${(error as Error).message.split("\n")[0]}`]));
      results.push({ name, error: (error as Error).message });
    }
  }
  return results;
}
