import { few } from "../format.js";
import { type Figure, figures } from "./figures.js";
import { branches, moduleTree } from "./module-tree.js";
import { moduleText } from "./modules.js";
import type { NodeRow } from "./node-rows.js";
import type { Run } from "./run.js";
import type { Together } from "./together.js";

/** A figure of all compared runs, in their order; null where a run does not have it. */
export interface FigureRow {
  readonly figure: Figure;
  readonly values: readonly (number | null)[];
}

/** How one thing of two runs differs: what it is in the base and in the other, null where it is not there. */
export interface Difference {
  readonly name: string;
  /** The class of a module, the op of a node; else empty. */
  readonly what: string;
  readonly base: number | null;
  readonly other: number | null;
  /** other − base, what is not there counting as 0. */
  readonly difference: number;
  /** Of times: whether they differ by more than both spreads. */
  readonly isClear: boolean;
}

/** A fact of the setting in which runs differ: another model, batch, device, version. */
export interface SettingRow {
  readonly name: string;
  readonly values: readonly string[];
}

/** Runs beside each other: the first is the base. */
export interface Differences {
  readonly runs: readonly Run[];
  /** Only those that differ. */
  readonly settings: readonly SettingRow[];
  /** All that any run has. */
  readonly figures: readonly FigureRow[];
  /** Of each run after the first against it: modules by the time of their own nodes, largest difference first. */
  readonly modules: readonly (readonly Difference[])[];
  /** The same by what they hold at the peak, those without a difference left out. */
  readonly holders: readonly (readonly Difference[])[];
  /** The same of nodes by time. */
  readonly nodes: readonly (readonly Difference[])[];
  /** The same of saved activations by bytes, those without a difference left out. */
  readonly activations: readonly (readonly Difference[])[];
}

/**
 * Sets runs side by side, the first as the base: what differs in their settings, their figures, and by name the times of
 * their modules and nodes (ms, medians), what modules hold at the peak and the bytes of saved activations. Throws if there are fewer than two.
 */
export function differencesOf(runs: readonly Run[]): Differences {
  const [base, ...others] = runs;
  if (!base || others.length === 0) throw new Error(`comparing takes two runs or more: ${runs.length} given`);
  return {
    runs,
    settings: settingsOf(runs),
    figures: figures
      .map((figure) => ({ figure, values: runs.map(figure.of) }))
      .filter(({ values }) => values.some((value) => value !== null)),
    modules: others.map((other) => moduleDifferences(base, other, "ms")),
    holders: others.map((other) => moduleDifferences(base, other, "peakBytes")),
    nodes: others.map((other) => nodeDifferences(base, other)),
    activations: others.map((other) => activationDifferences(base, other)),
  };
}

function settingsOf(runs: readonly Run[]): SettingRow[] {
  const facts: readonly [string, (run: Run) => string][] = [
    ["model", ({ model }) => model.file],
    ["model's hash", ({ model }) => model.sha256.slice(0, 12)],
    ["dimensions", ({ model }) => say(model.dims)],
    ["loss", ({ model }) => model.loss],
    ["optimizer", ({ model }) => model.optimizer],
    ["micro-batches", ({ model }) => String(model.accumulate ?? 1)],
    ["precision", ({ model }) => model.precision ?? "float32"],
    ["models", ({ together }) => (together ? modelsText(together) : "one")],
    ["frozen", ({ model }) => (model.freeze ?? []).join(", ")],
    ["backend", ({ before }) => before.backend],
    ["device", ({ before }) => before.device.name],
    ["device's settings", ({ before }) => say(before.device.settings ?? {})],
    ["planner", ({ plan }) => plan?.planner ?? "none"],
    ["budget", ({ plan }) => (plan?.budgetBytes ? String(plan.budgetBytes) : "none")],
    ["mutwo", ({ environment }) => environment.mutwo],
    ["onnxruntime", ({ environment }) => environment.onnxruntime],
    ["machine", ({ environment }) => `${environment.cpu}, ${environment.cores} cores`],
  ];
  return facts
    .map(([name, fact]) => ({ name, values: runs.map(fact) }))
    .filter(({ values }) => new Set(values).size > 1);
}

/** Several models in a few words: `3 fused, lr = 1e-3 | 1e-2`. */
function modelsText({ trials, executed }: Together): string {
  const names = [...new Set(trials.flatMap(({ varied }) => Object.keys(varied)))];
  const varied = names.map((name) => `${name} = ${few([...new Set(trials.map((one) => one.varied[name] ?? "–"))])}`);
  return [`${trials.length} ${executed}`, ...varied].join("; ");
}

const say = (values: object): string =>
  Object.entries(values)
    .map(([name, value]) => `${name} = ${value}`)
    .join(", ");

/** What two lists have by name, or only one of them. */
function paired<T extends { readonly name: string }>(
  base: readonly T[],
  other: readonly T[],
): [T | undefined, T | undefined][] {
  const inOther = new Map(other.map((row) => [row.name, row]));
  const inBase = new Set(base.map(({ name }) => name));
  return [
    ...base.map((row): [T, T | undefined] => [row, inOther.get(row.name)]),
    ...other.filter(({ name }) => !inBase.has(name)).map((row): [undefined, T] => [undefined, row]),
  ];
}

const largestFirst = (list: Difference[]): Difference[] =>
  list.sort((a, z) => Math.abs(z.difference) - Math.abs(a.difference));

/** Of modules without what is inside of them, so that differences add up. */
function moduleDifferences(base: Run, other: Run, cost: "ms" | "peakBytes"): Difference[] {
  const rowsOf = (run: Run) =>
    branches(moduleTree(run, "unplanned").root).map(({ path, class: type, own }) => ({
      name: moduleText(path),
      what: type ?? "",
      value: own[cost],
    }));
  return largestFirst(
    paired(rowsOf(base), rowsOf(other))
      .map(([a, b]) => ({
        name: (a ?? b)?.name as string,
        what: (a ?? b)?.what as string,
        base: a?.value ?? null,
        other: b?.value ?? null,
        difference: (b?.value ?? 0) - (a?.value ?? 0),
        isClear: true,
      }))
      .filter(({ difference }) => difference !== 0),
  );
}

function nodeDifferences(base: Run, other: Run): Difference[] {
  return largestFirst(
    paired<NodeRow>(base.before.nodes, other.before.nodes).map(([a, b]) => {
      const row = (a ?? b) as NodeRow;
      const difference = (b?.time.medianMs ?? 0) - (a?.time.medianMs ?? 0);
      return {
        name: row.name,
        what: row.op,
        base: a?.time.medianMs ?? null,
        other: b?.time.medianMs ?? null,
        difference,
        isClear: Math.abs(difference) > (a?.time.spreadMs ?? 0) + (b?.time.spreadMs ?? 0),
      };
    }),
  );
}

function activationDifferences(base: Run, other: Run): Difference[] {
  return largestFirst(
    paired(base.before.activations, other.before.activations)
      .map(([a, b]) => ({
        name: (a ?? b)?.name as string,
        what: "",
        base: a?.memoryBytes ?? null,
        other: b?.memoryBytes ?? null,
        difference: (b?.memoryBytes ?? 0) - (a?.memoryBytes ?? 0),
        isClear: true,
      }))
      .filter(({ difference }) => difference !== 0),
  );
}
