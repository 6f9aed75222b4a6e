import { batchesOf } from "../data/batches.js";
import type { Dataset } from "../data/dataset.js";
import type { FitOptions } from "./fit-options.js";
import { type Metrics, openMetrics } from "./metrics.js";
import type { Trainer } from "./trainer.js";

/** Longest time without letting others have their turn, ms. */
const turnMs = 50;

/** Metrics of a trainer's validation; throws for one that does not fit its loss or output. */
export const metricsFor = (
  { outputs }: Pick<Trainer, "outputs">,
  { loss, metrics }: Pick<FitOptions, "loss" | "metrics">,
): Metrics => openMetrics(metrics, { loss: loss as string, output: outputs[0] as Trainer["outputs"][number] });

/**
 * The loss and metrics of data that is held back, over all its samples; null where one is not finite. Undefined where the
 * signal ended it.
 */
export async function validate(
  trainer: Trainer,
  data: Dataset,
  options: Pick<FitOptions, "loss" | "metrics" | "signal" | "onValidation">,
): Promise<Record<string, number | null> | undefined> {
  const metrics = metricsFor(trainer, options);
  const [output] = trainer.outputs;
  const target = trainer.batch.find(({ isTarget }) => isTarget)?.name;
  const { batch, batchSize } = trainer;
  const batches = batchesOf(data, { batch, batchSize, last: "pad", reuse: true });
  let done = 0;
  let turn = performance.now();
  for await (const { tensors, samples } of batches) {
    if (options.signal?.aborted) return undefined;
    const values = await trainer.evaluate(tensors);
    const value = values[output?.name ?? ""];
    if (value) metrics.add(value, target === undefined ? undefined : tensors[target], { samples, batchSize });
    options.onValidation?.(++done, batches.count);
    if (performance.now() - turn < turnMs) continue;
    await new Promise(setImmediate);
    turn = performance.now();
  }
  const entries = Object.entries(metrics.values());
  return Object.fromEntries(entries.map(([name, value]) => [name, Number.isFinite(value) ? value : null]));
}
