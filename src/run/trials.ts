import { few, formatCount } from "../format.js";
import type { GraphTrial } from "../graph/graph.js";
import { symbolsOf } from "../model/dimensions.js";
import { openOnnx } from "../model/onnx.js";
import { parseNamed } from "../step/settings.js";
import { wrongOptions } from "./option-checks.js";
import { withDefaults } from "./option-forms.js";
import type { OptionSpec } from "./option-kinds.js";
import { type ModelOptions, type OptionsOf, optionTable } from "./options.js";
import { isTogether, mostModels } from "./together-options.js";
import { everyCombination, inTurn, parseVariations } from "./vary.js";

/** One of several models that are trained in one step: what `mutwo profile FILE` with these options would train alone. */
export interface TrialSpec {
  /** Before the names of its tensors and nodes: `m0`, `m1`, … */
  readonly name: GraphTrial["name"];
  readonly file: string;
  /** Those that decide what its step is, of this model alone. */
  readonly options: ModelOptions & { readonly dims: Readonly<Record<string, number>> };
  readonly seed: number;
  /** In what it differs from others, in words by name. */
  readonly varied: Readonly<Record<string, string>>;
}

/** Options of several models, or of one. */
export type ManyOptions = Pick<OptionsOf<"profile" | "train">, keyof ModelOptions | "seed">;

/** Options that can differ between models of one step: what the step of one is, but for those that say how many there are. */
const variable = (Object.entries(optionTable) as [keyof typeof optionTable, OptionSpec][]).filter(
  ([, { model, group }]) => model && group !== "together",
);

/** An option that is varied by that name: as on the command line without dashes, or as in the library. */
const variableOption = (name: string) =>
  variable.find(([key, { flag }]) => key !== "dims" && (key === name || flag === `--${name}`));

/**
 * The models that a file and options ask for, in the order of their files. Throws one line for what cannot be varied, and
 * for a value that does not fit what it is of.
 */
export function trialsOf(file: string, options: ManyOptions): TrialSpec[] {
  const { together = [], copies, vary = [], arrange: _, seed = 0, ...own } = options;
  const files = [file, ...together];
  const variations = parseVariations(vary);
  for (const { name } of variations) checkVariable(name, own);
  const isInTurn = copies !== undefined || files.length > 1;
  const count = files.length * (copies ?? 1);
  checkCount(isInTurn ? count : variations.reduce((all, { values }) => all * values.length, 1));
  const combinations = isInTurn ? inTurn(variations, count) : everyCombination(variations);
  const dims = files.length > 1 ? dimsByFile(files, own.dims ?? {}) : new Map([[file, own.dims ?? {}]]);
  const seeds = variations.some(({ name }) => name === "seed");
  return combinations.map((values, i): TrialSpec => {
    const name = `m${i}`;
    const path = files[isInTurn ? Math.floor(i / (copies ?? 1)) : 0] as string;
    // copies that nothing tells apart would be the same model
    const ownSeed = seeds ? Number(values.get("seed")) : copies === undefined ? seed : seed + (i % copies);
    const varied = {
      ...Object.fromEntries(values),
      ...(copies !== undefined && !seeds ? { seed: String(ownSeed) } : {}),
    };
    return {
      name,
      file: path,
      options: withValues({ ...own, dims: dims.get(path) ?? {} }, values, name),
      seed: ownSeed,
      varied,
    };
  });
}

/** The same where they are to be in one step. Throws where they are not several, too. */
export function severalTrialsOf(file: string, options: ManyOptions): TrialSpec[] {
  const trials = trialsOf(file, options);
  if (trials.length > 1) return trials;
  throw new Error("one model alone is not trained together: give --vary several values, or pass --copies N");
}

function checkCount(count: number): void {
  if (count > mostModels)
    throw new Error(
      `too many models: ${formatCount(count)} (at most ${formatCount(mostModels)} are trained in one step)`,
    );
}

/** Throws `cannot vary NAME: …` for what models of one step have in common, and for what nothing knows. */
function checkVariable(name: string, { optimizer }: ManyOptions): void {
  if (name === "seed" || name.startsWith("dim.") || variableOption(name)) return;
  const entry = Object.entries(optionTable as Record<string, OptionSpec>).find(
    ([key, { flag }]) => key === name || flag === `--${name}` || flag === `--no-${name}`,
  );
  if (entry) throw new Error(`cannot vary ${name}: it is of all models together (vary ${mayVary(optimizer)})`);
}

const mayVary = (optimizer: string): string =>
  `a setting of ${parseNamed(optimizer).name}, seed, dim.NAME, ${variable
    .filter(([key]) => key !== "dims")
    .map(([, { flag }]) => flag.replace(/^--/, ""))
    .join(", ")}`;

/** A model's options with its values in them. */
function withValues(own: ManyOptions, values: ReadonlyMap<string, string>, trial: string): TrialSpec["options"] {
  const options: Record<string, unknown> = { ...withDefaults({ dims: own.dims }), ...own };
  for (const key of Object.keys(options)) if (!variable.some(([name]) => name === key)) delete options[key];
  const settings: [string, string][] = [];
  for (const [name, value] of values) {
    if (name === "seed") {
      if (!optionTable.seed.kind.includes(Number(value)))
        throw new Error(`seed is not a whole number from 0 on: ${value}`);
      continue;
    }
    const entry = variableOption(name);
    if (name.startsWith("dim.")) {
      const dims = { ...(options.dims as Record<string, number>) };
      delete dims[name.slice(4)];
      options.dims = parsed(optionTable.dims, `${name.slice(4)}=${value}`, dims, name);
    } else if (entry) options[entry[0]] = parsed(entry[1], value, undefined, name);
    else settings.push([name, value]);
  }
  for (const [name, value] of settings) options.optimizer = withSetting(options.optimizer as string, name, value);
  const [wrong] = wrongOptions("profile", options);
  if (wrong !== undefined) {
    // what is nothing else is taken for a setting
    const others = settings.some(([name]) => wrong.includes(`: ${name} (`)) ? `; vary ${mayVary(own.optimizer)}` : "";
    throw new Error(`cannot vary ${[...values.keys()].join(", ")}: ${wrong}${others} (model ${trial})`);
  }
  return options as unknown as TrialSpec["options"];
}

function parsed({ kind }: OptionSpec, value: string, before: unknown, name: string): unknown {
  try {
    return kind.parse(value, before);
  } catch (error) {
    throw new Error(`${name} cannot be ${value}: ${(error as Error).message}`);
  }
}

/** An optimizer with one setting replaced or added; `betas` and its two numbers replace each other. */
function withSetting(optimizer: string, name: string, value: string): string {
  const { name: kind, settings } = parseNamed(optimizer);
  const both = name.startsWith("beta") ? (settings.get("betas")?.split("/") ?? []) : [];
  const apart = both.length === 2 ? both.map((beta, i) => [`beta${i + 1}`, beta] as const) : [];
  const given = [...settings].filter(([key]) => !(apart.length && key === "betas"));
  const others = [...given, ...apart].filter(([key]) => key !== name && !(name === "betas" && /^beta[12]$/.test(key)));
  return `${kind}:${[...others, [name, value]].map(([key, text]) => `${key}=${text}`).join(",")}`;
}

/** Whether options ask for several models in one step. */
export const asksForMany = (options: object): boolean => isTogether(options as Readonly<Record<string, unknown>>);

/**
 * The dimensions that each of several model files has of those that are given. Throws `unknown dimension: …` for one that
 * none has.
 */
function dimsByFile(
  files: readonly string[],
  dims: Readonly<Record<string, number>>,
): ReadonlyMap<string, Readonly<Record<string, number>>> {
  const own = new Map<string, Readonly<Record<string, number>>>();
  const known = new Set<string>();
  for (const file of files) {
    const symbols = symbolsOf(openOnnx(file));
    for (const name of symbols.keys()) known.add(name);
    own.set(file, Object.fromEntries(Object.entries(dims).filter(([name]) => symbols.has(name))));
  }
  const unknown = Object.keys(dims).filter((name) => !known.has(name));
  if (unknown.length)
    throw new Error(`unknown dimension: ${few(unknown)} (the models have ${few([...known]) || "none"})`);
  return own;
}
