import { spawnSync } from "node:child_process";
import path from "node:path";
import type { Batch } from "../../src/data/batch.js";
import { openTrainer } from "../../src/train/open-trainer.js";
import type { Trainer } from "../../src/train/trainer.js";
import { common, modelFile, type Places, table } from "./gpu-models.js";

/** Samples a step, different batches, steps before and while time is taken. */
const [batchSize, batches, warmups, steps] = [64, 4, 20, 100];

const size = 3 * 224 * 224;

/** Batches of the model's own ranges, other ones each time. */
const someBatches = ({ batch }: Trainer): Batch[] =>
  Array.from({ length: batches }, (_, at) =>
    Object.fromEntries(
      batch.map(({ name, shape }) =>
        shape.length > 1
          ? [name, Float32Array.from({ length: batchSize * size }, (_, i) => Math.sin(i * (at + 1)))]
          : [name, BigInt64Array.from({ length: batchSize }, (_, i) => BigInt((i * 31 + at) % 1000))],
      ),
    ),
  );

/** Samples a second over all steps, by the clock; each batch is handed over while the step before runs. */
async function throughput(trainer: Trainer, data: readonly Batch[], prepares: boolean): Promise<number> {
  const at = (i: number): Batch => data[i % data.length] as Batch;
  let began = 0;
  for (let i = 0; i < warmups + steps; i++) {
    if (i === warmups) began = performance.now();
    const step = trainer.step(at(i));
    if (prepares) trainer.prepare(at(i + 1));
    await step;
  }
  return (1000 * steps * batchSize) / (performance.now() - began);
}

/** PyTorch's samples a second, eager, batches copied from pinned memory without waiting; null where there is none. */
function peer({ scripts }: Places): number | null {
  const file = path.join(scripts, "torch_train.py");
  const result = spawnSync("python3", [file, String(batchSize)], { encoding: "utf8", timeout: 120_000 });
  if (result.status === 0) return Number(result.stdout.trim().split("\n").at(-1));
  process.stderr.write(`no PyTorch beside: ${(result.stderr || String(result.error)).trim().split("\n").at(-1)}\n`);
  return null;
}

/** A trainer of ResNet-50 with data that arrives, beside its captured step alone and PyTorch. */
export async function train(places: Places): Promise<string> {
  const trainer = await openTrainer(modelFile(places, "resnet50"), { ...common, dims: { batch: batchSize } });
  try {
    const data = someBatches(trainer);
    const waited = await throughput(trainer, data, false);
    const before = trainer.processBytes?.() ?? 0;
    const prepared = await throughput(trainer, data, true);
    const grown = (trainer.processBytes?.() ?? 0) - before;
    const times: number[] = [];
    for (let i = 0; i < steps; i++) times.push((await trainer.step(data[0] as Batch)).stepMs);
    const alone = (1000 * batchSize) / (times.sort((a, z) => a - z)[steps / 2] as number);
    const theirs = peer(places);
    return table(
      [
        "samples/s, ResNet-50 b64",
        "handed over",
        "waited for",
        "step alone",
        "of alone",
        "PyTorch",
        "of PyTorch",
        "growth, MB",
      ],
      [
        [
          "mutwo",
          ...[prepared, waited, alone].map((value) => value.toFixed(0)),
          (prepared / alone).toFixed(3),
          theirs?.toFixed(0) ?? "–",
          theirs === null ? "–" : (prepared / theirs).toFixed(2),
          (grown / 1e6).toFixed(1),
        ],
      ],
    );
  } finally {
    trainer.close();
  }
}
