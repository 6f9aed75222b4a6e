import path from "node:path";
import { LineCounter, parseDocument } from "yaml";
import { readText } from "../files.js";
import { formatCount } from "../format.js";
import { checkOptions } from "../run/option-checks.js";
import { type OptionsOf, optionEntries } from "../run/options.js";
import { shown } from "../schema.js";
import { type Constraint, checkNames, parseConstraint } from "./constraint.js";
import { alternatives, draws } from "./draw.js";
import { planning, settingOf, type Wanted } from "./manifest.js";
import { isMap, type Settings, settingsIn } from "./settings.js";

/** The most points that one sweep has. */
const mostPoints = 1_000_000;

/** After so many random points in a row that are known or excluded there are no others. */
const mostMisses = 100_000;

/** Keys of a spec beside those that all points have. */
const parts = ["grid", "list", "random", "constraints"] as const;

/**
 * The points that a sweep's spec asks for, those that its constraints exclude left out. Throws one line for what is no
 * YAML, has unknown keys or values that are none, and where no point is left.
 */
export function readSpec(file: string): Wanted[] {
  try {
    return pointsOf(readYaml(file), path.dirname(file));
  } catch (error) {
    const { message } = error as Error;
    throw message.includes(file) ? error : new Error(`${message} (${file})`, { cause: error });
  }
}

function readYaml(file: string): unknown {
  const lineCounter = new LineCounter();
  const document = parseDocument(readText("sweep's spec", file), { lineCounter, prettyErrors: false });
  const [error] = document.errors;
  const refusal = (place: string): Error => new Error(`spec is not YAML: ${file} (${place})`, { cause: error });
  if (error) {
    const { line, col } = lineCounter.linePos(error.pos[0]);
    throw refusal(
      `line ${line}, column ${col}${error.code === "DUPLICATE_KEY" ? ": a key that is there already" : ""}`,
    );
  }
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch {
    throw refusal("an alias of nothing, or too many aliases");
  }
}

function pointsOf(spec: unknown, folder: string): Wanted[] {
  if (!isMap(spec)) throw new Error("spec is no list of keys with values: write model: MODEL.onnx and loss: ce");
  const own: Record<string, unknown> = {};
  const common: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(spec))
    ((parts as readonly string[]).includes(key) ? own : common)[key] = value;
  const fixed = settingsIn(common, "", folder, (value) => [value], parts);
  const constraints = constraintsIn(own.constraints);
  const isAllowed = (settings: Settings): boolean =>
    constraints.every((one) => one.holds((name) => lookUp(settings, name)));
  const merged = (settings: Settings): Settings => ({ ...firstOf(fixed), ...settings });
  const listed = [...gridOf(own.grid, folder), ...listOf(own.list, folder)].map(merged);
  const isAlone = own.grid === undefined && own.list === undefined && own.random === undefined;
  const all = isAlone ? [firstOf(fixed)] : listed;
  const drawn = randomOf(own.random, folder, (settings) => isAllowed(merged(settings))).map(merged);
  checkConstraints(constraints, [...all, ...drawn]);
  const points = [...all.filter(isAllowed), ...drawn];
  if (points.length === 0) throw new Error(noneLeft(constraints, all));
  return checked(points.map(wantedOf));
}

/** The only combination of settings that have one value each. */
const firstOf = (settings: Readonly<Record<string, readonly unknown[]>>): Settings =>
  Object.fromEntries(Object.entries(settings).map(([name, [value]]) => [name, value]));

/** Every combination. */
function gridOf(grid: unknown, folder: string): Settings[] {
  if (grid === undefined) return [];
  const settings = Object.entries(settingsIn(grid, "grid", folder, alternatives));
  const count = settings.reduce((product, [, values]) => product * values.length, 1);
  if (count > mostPoints)
    throw new Error(`grid has ${formatCount(count)} combinations, at most ${formatCount(mostPoints)} are done`);
  let points: Settings[] = [{}];
  for (const [name, values] of settings)
    points = points.flatMap((point) => values.map((value) => ({ ...point, [name]: value })));
  return points;
}

function listOf(list: unknown, folder: string): Settings[] {
  if (list === undefined) return [];
  if (!Array.isArray(list)) throw new Error(`list is ${shown(list)}, not a list of points: - {dims: {batch: 4}}`);
  return list.map((one, i) => firstOf(settingsIn(one, `list[${i}]`, folder, (value) => [value])));
}

/** So many different points, each setting drawn by itself; fewer where there are not as many. */
function randomOf(random: unknown, folder: string, isAllowed: (settings: Settings) => boolean): Settings[] {
  if (random === undefined) return [];
  const { count, seed = 0, ...rest } = isMap(random) ? random : {};
  if (!Number.isSafeInteger(count) || (count as number) < 1 || (count as number) > mostPoints)
    throw new Error(`random.count is ${shown(count)}, not a whole number from 1 to ${formatCount(mostPoints)}`);
  if (!Number.isSafeInteger(seed) || (seed as number) < 0)
    throw new Error(`random.seed is ${shown(seed)}, not a whole number from 0 on`);
  const draw = draws(rest, folder, seed as number);
  const found = new Map<string, Settings>();
  for (let misses = 0; misses < mostMisses && found.size < (count as number); misses++) {
    const settings = draw();
    const key = JSON.stringify(settings);
    if (found.has(key) || !isAllowed(settings)) continue;
    found.set(key, settings);
    misses = 0;
  }
  return [...found.values()];
}

function constraintsIn(constraints: unknown): Constraint[] {
  if (constraints === undefined) return [];
  const texts = Array.isArray(constraints) ? constraints : [constraints];
  return texts.map((text) => {
    if (typeof text !== "string") throw new Error(`constraint is ${shown(text)}, not a text: batch * length <= 4096`);
    return parseConstraint(text);
  });
}

/** What a constraint's name stands for: a dimension, the model's file name, or an option, with its default. */
function lookUp(settings: Settings, name: string): string | number | undefined {
  const wanted = wantedOf(settings);
  if (name === "model") return path.basename(wanted.model);
  const dim = settingOf(wanted, name.startsWith("dims.") ? name : `dims.${name}`);
  if (dim !== undefined) return dim;
  const spec = optionEntries.find(([option]) => option === name)?.[1];
  const value = settingOf(wanted, name) ?? spec?.default;
  return typeof value === "boolean" || typeof value === "object"
    ? String(value)
    : (value as string | number | undefined);
}

function checkConstraints(constraints: readonly Constraint[], points: readonly Settings[]): void {
  const dims = new Set(points.flatMap((point) => Object.keys(point).filter((name) => name.startsWith("dims."))));
  const names = [...dims].flatMap((dim) => [dim, dim.slice("dims.".length)]);
  const known = ["model", "execute", ...names, ...optionEntries.map(([name]) => name as string)];
  for (const one of constraints) if (points.length > 0) checkNames(one, known);
}

function noneLeft(constraints: readonly Constraint[], points: readonly Settings[]): string {
  const excluded = constraints.map((one) => ({
    text: one.text,
    count: points.filter((settings) => !one.holds((name) => lookUp(settings, name))).length,
  }));
  const [most] = excluded.sort((a, z) => z.count - a.count);
  return most
    ? `no point is left: ${most.text} excludes ${most.count} of ${points.length}`
    : "no point: the spec lists none";
}

/** A point of its settings. Where its budget is said to be none there is no plan, whatever else says how to make one. */
function wantedOf(settings: Settings): Wanted {
  const { model, execute, ...rest } = settings;
  const isUnplanned = "budget" in rest && rest.budget === undefined && rest.maxSlowdown === undefined;
  const options: Record<string, unknown> = {};
  const dims: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(rest)) {
    if (value === undefined || (isUnplanned && planning.has(name))) continue;
    if (name.startsWith("dims.")) dims[name.slice("dims.".length)] = value;
    else options[name] = value;
  }
  if (Object.keys(dims).length) options.dims = dims;
  return {
    model: model as string,
    options: options as unknown as OptionsOf<"profile">,
    ...(execute ? { execute: true } : {}),
  };
}

/** The points, each with a model and with options that go together. Throws `missing option: …` and the like. */
function checked(points: readonly Wanted[]): Wanted[] {
  const seen = new Set<string>();
  for (const { model, options } of points) {
    if (model === undefined) throw new Error("spec names no model: write model: MODEL.onnx");
    // sizes and seeds were read one by one, and do not decide whether others are right
    const key = JSON.stringify({ ...options, dims: 0, seed: 0 });
    if (seen.has(key)) continue;
    seen.add(key);
    checkOptions("profile", options);
  }
  return [...points];
}
