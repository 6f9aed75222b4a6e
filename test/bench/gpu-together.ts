import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { profileModel } from "../../src/run/pipeline.js";
import type { Arrangement, Together } from "../../src/run/together.js";
import { type Places, progressOf, since, table } from "./gpu-models.js";

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

/** How PyTorch trains several models: keys of torch_together.py's answer. */
const peers = ["alone", "compiled", "processes", "vmap"] as const;

type PeerTimes = Readonly<Partial<Record<(typeof peers)[number], number>>>;

/** PyTorch's times by case; none where there is no PyTorch with CUDA. */
function peersOf({ scripts }: Places, names: readonly string[]): Readonly<Record<string, PeerTimes>> {
  const result = spawnSync("python3", [path.join(scripts, "torch_together.py"), ...names], {
    encoding: "utf8",
    timeout: 900_000,
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (result.status === 0) return JSON.parse(result.stdout.trim().split("\n").at(-1) ?? "").cases;
  process.stderr.write("no PyTorch beside\n");
  return {};
}

const ms = (value: number | null | undefined): string =>
  value === null || value === undefined ? "–" : value.toFixed(3);

const times = (one: number, other: number | null | undefined): string =>
  other === null || other === undefined ? "–" : `${(one / other).toFixed(2)} ×`;

const arrangements: readonly Arrangement[] = ["side-by-side", "fused", "multiplexed"];

/** The time of an arrangement: measured, else predicted. */
const timeOf = ({ arranged }: Together, name: Arrangement): number | null | undefined =>
  arranged.find(({ arrangement }) => arrangement === name)?.measuredMs;

/**
 * Steps of several models together, beside each model's own step one after the other and beside PyTorch. `models` are ONNX
 * files that torch_together.py --export has written; cases whose files are missing are left out.
 */
export async function togetherBench(
  places: Places,
  names: readonly string[] | undefined,
  options: { readonly backend: "cuda" | "cpu"; readonly torch: boolean },
): Promise<{ text: string; results: unknown[] }> {
  const file = (model: string): string => path.join(places.models, `${model}.onnx`);
  const wanted = cases.filter(
    ({ name, models }) => (names?.includes(name) ?? true) && models.every((one) => existsSync(file(one))),
  );
  const theirs = options.torch
    ? peersOf(
        places,
        wanted.map(({ name }) => name),
      )
    : {};
  const rows: string[][] = [];
  const results: unknown[] = [];
  const say = progressOf();
  for (const { name, models, copies, losses } of wanted) {
    say(name);
    const began = performance.now();
    const [first = "", ...others] = models.map(file);
    try {
      const { together, before } = await profileModel(first, {
        loss: losses[0] as string,
        optimizer: "adam:lr=1e-4",
        backend: options.backend,
        copies,
        ...(others.length ? { together: others, vary: [`loss=${losses.join()}`] } : {}),
      });
      const found = together as Together;
      const { stepMs } = found.alone;
      const best = timeOf(found, found.executed) ?? before.step.medianMs;
      const peer = theirs[name] ?? {};
      rows.push([
        `${copies * models.length} × ${models.join(", ")}`,
        ms(stepMs),
        ...arrangements.map((one) => ms(timeOf(found, one))),
        found.executed,
        times(stepMs, best),
        found.sameAsAlone?.bitwise ? "bits" : (found.sameAsAlone?.worstRelativeError?.toExponential(1) ?? "–"),
        ...peers.map((one) => ms(peer[one])),
        times(Math.min(...Object.values(peer)), best).replace("Infinity ×", "–"),
        since(began),
      ]);
      results.push({
        name,
        alone: found.alone,
        arranged: found.arranged,
        executed: found.executed,
        sameAsAlone: found.sameAsAlone,
        notes: found.notes,
        theirs: peer,
      });
    } catch (error) {
      process.stderr.write(`${name}: ${(error as Error).message}\n`);
      results.push({ name, error: (error as Error).message });
    }
  }
  const head = [
    "models in one step, ms",
    "one after another",
    ...arrangements,
    "executed",
    "faster",
    "as alone",
    ...peers.map((one) => `PyTorch ${one}`),
    "against the best of PyTorch",
    "s",
  ];
  return { text: table(head, rows), results };
}
