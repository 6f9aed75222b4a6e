import type { Numbers } from "../data/batch.js";
import { bytesIn } from "../data/numbers.js";
import { few } from "../format.js";
import { elementCount } from "../graph/graph.js";
import { valuesOf } from "../graph/values.js";
import { classesOf } from "../step/loss.js";
import { parseNamed } from "../step/settings.js";
import { type ClassSums, classSums, type ElementSums, elementSums, type Measured } from "./sums.js";
import type { Evaluated, OutputTensor } from "./trainer.js";

/** What a model is judged by. */
export interface Metric {
  readonly name: string;
  /** In words. */
  readonly title: string;
  readonly isMoreBetter: boolean;
  /** The losses whose outputs and targets it is made for. */
  readonly losses: readonly string[];
}

/** Sums over all that counted, whichever kind the loss is of. */
type Sums = ClassSums & ElementSums;

interface MetricRule extends Metric {
  readonly value: (sums: Sums) => number;
  /** Whether it is told without being asked for; default yes. */
  readonly isUsual?: (output: OutputTensor, classes: number) => boolean;
}

const topK = (k: number): MetricRule => ({
  name: `top${k}`,
  title: `share of positions whose class is among the ${k} with the highest scores`,
  isMoreBetter: true,
  losses: ["ce"],
  value: ({ hits, count }) => (hits.get(k) ?? 0) / count,
  isUsual: (_, classes) => classes > k,
});

const metricTable: readonly MetricRule[] = [
  {
    name: "accuracy",
    title: "share that is right: the class with the highest score, or with bce the side of 0",
    isMoreBetter: true,
    losses: ["ce", "bce"],
    value: ({ correct, count }) => correct / count,
  },
  topK(5),
  {
    name: "perplexity",
    title: "e to the mean negative logarithm of the right class's probability",
    isMoreBetter: false,
    losses: ["ce"],
    value: ({ unlikelihood, count }) => Math.exp(unlikelihood / count),
    // of tokens: the classes stand last, behind a text's positions
    isUsual: ({ shape }) => shape.length === 3,
  },
  {
    name: "mae",
    title: "mean absolute error",
    isMoreBetter: false,
    losses: ["mse", "l1"],
    value: ({ absolute, count }) => absolute / count,
  },
  {
    name: "mse",
    title: "mean squared error",
    isMoreBetter: false,
    losses: ["mse", "l1"],
    value: ({ squared, count }) => squared / count,
  },
];

const lossRule: MetricRule = {
  name: "loss",
  title: "the loss, over all positions that count",
  isMoreBetter: false,
  losses: ["ce", "bce", "mse", "l1", "sum"],
  value: ({ loss, count }) => loss / count,
};

/** The names of metrics; `top3` and so on are some too. `loss` is always told and need not be asked for. */
export const metricNames: readonly string[] = metricTable.map(({ name }) => name);

const kOf = (name: string): number | undefined => {
  const [, k] = /^top([1-9]\d{0,5})$/.exec(name) ?? [];
  return k === undefined ? undefined : Number(k);
};

function ruleOf(name: string): MetricRule {
  const k = kOf(name);
  const rule = k === undefined ? [lossRule, ...metricTable].find((one) => one.name === name) : topK(k);
  if (!rule) throw new Error(`unknown metric: ${name} (one of ${metricNames.join(", ")})`);
  return rule;
}

/** A metric by its name: `accuracy`, `top5`, `loss`. Throws `unknown metric: …`. */
export function metricOf(name: string): Metric {
  const { title, isMoreBetter, losses } = ruleOf(name);
  return { name, title, isMoreBetter, losses };
}

/** Throws `unknown metric: …`; with a loss also where the metric is not made for it. */
export function checkMetric(name: string, loss?: string): void {
  const rule = ruleOf(name);
  if (loss === undefined) return;
  const kind = parseNamed(loss).name;
  if (rule.losses.includes(kind)) return;
  const fitting = metricTable.filter(({ losses }) => losses.includes(kind)).map((one) => one.name);
  throw new Error(
    `metric ${name} does not fit loss ${kind} (${fitting.length ? `use ${few(fitting)}` : "it has none"})`,
  );
}

/** Whether a metric's value is better than another; one that is not a number is no better than any. */
export const isBetter = (name: string, value: number, than: number): boolean =>
  ruleOf(name).isMoreBetter ? value > than : value < than;

/** What metrics are of. */
export interface MetricsOptions {
  /** The loss with its settings, as the trainer has it: `ce:axis=1,ignore_index=-100`. */
  readonly loss: string;
  /** `trainer.outputs[0]`. */
  readonly output: OutputTensor;
}

/** Which samples of a batch count, where it is padded. */
export interface Counted {
  /** The first ones. */
  readonly samples: number;
  readonly batchSize: number;
}

/** Metrics of a dataset, as its batches come. */
export interface Metrics {
  /** `loss` first. */
  readonly names: readonly string[];
  /**
   * Adds a batch: the output, and the target that it is compared with (none for the loss `sum`). Throws where they have not
   * the same positions, and for a class that there is not.
   */
  add(output: Evaluated, target: Numbers | undefined, counted?: Counted): void;
  /** Metrics of all batches so far; NaN where nothing has counted. */
  values(): Record<string, number>;
}

/**
 * Metrics over the batches of a dataset, summed in float64; without names those that are usual for the loss and the output:
 * `accuracy` of classes, `top5` of more than 5, `perplexity` of tokens, `mae` and `mse` of numbers. Each is a mean over all
 * positions that count, so that batches weigh by what counts in them. Throws for a metric that does not fit.
 */
export function openMetrics(names: readonly string[] | undefined, { loss, output }: MetricsOptions): Metrics {
  const named = parseNamed(loss);
  const classes = named.name === "ce" ? classesOf(output, named) : undefined;
  for (const name of names ?? []) checkMetric(name, loss);
  const usual = metricTable.filter(
    (rule) => rule.losses.includes(named.name) && (rule.isUsual?.(output, classes?.classes ?? 0) ?? true),
  );
  const asked = new Map((names?.map(ruleOf) ?? usual).map((rule) => [rule.name, rule]));
  asked.delete(lossRule.name);
  const rules = [lossRule, ...asked.values()];
  const sums = classes
    ? classSums(
        classes,
        rules.flatMap(({ name }) => kOf(name) ?? []),
      )
    : elementSums(named.name);
  return {
    names: rules.map(({ name }) => name),
    add: (value, target, counted) => sums.add(measured(value, target), shareOf(counted)),
    values: () => {
      const total = sums.total() as Sums;
      return Object.fromEntries(rules.map(({ name, value }) => [name, value(total)]));
    },
  };
}

function shareOf(counted: Counted | undefined): number {
  if (!counted) return 1;
  const { samples, batchSize } = counted;
  if (!(samples >= 0 && samples <= batchSize && batchSize > 0))
    throw new Error(`of a batch of ${batchSize} samples ${samples} cannot count`);
  return samples / batchSize;
}

/** Elements of a value as numbers, the bits of 16-bit floats decoded. */
function numbersOf({ dtype, data }: Evaluated): ArrayLike<number> {
  const isHalf = (dtype === "float16" || dtype === "bfloat16") && data instanceof Uint16Array;
  return isHalf ? valuesOf(dtype, bytesIn(data)) : withoutBig(data);
}

const withoutBig = (numbers: Numbers): ArrayLike<number> =>
  numbers instanceof BigInt64Array || numbers instanceof BigUint64Array
    ? Float64Array.from(numbers as BigInt64Array, Number)
    : numbers;

function measured(value: Evaluated, target: Numbers | undefined): Measured {
  const { shape } = value;
  const scores = numbersOf(value);
  if (scores.length !== elementCount(shape))
    throw new Error(`an output of ${scores.length} elements is not [${shape}]`);
  return { shape, scores, target: target && withoutBig(target) };
}
