import type { Dataset } from "../data/dataset.js";
import type { Trainer } from "./awaited.js";
import type { FitOptions } from "./fit-options.js";

/** Whether a value of a metric is better than another. */
export const isBetter = (_metric: string, value: number, than: number): boolean => value < than;

/** `loss` and metrics of data that is held back; undefined where the signal ended it. */
export async function validate(
  _trainer: Trainer,
  _data: Dataset,
  _options: FitOptions,
): Promise<Record<string, number | null> | undefined> {
  throw new Error("not merged yet");
}
