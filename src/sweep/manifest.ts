import { createHash } from "node:crypto";
import { existsSync, mkdirSync, statSync } from "node:fs";
import path from "node:path";
import { readText } from "../files.js";
import { perObject } from "../graph/memo.js";
import { sha256Of } from "../model/read.js";
import { own } from "../own.js";
import { withDefaults } from "../run/option-forms.js";
import type { Given } from "../run/option-kinds.js";
import { type OptionsOf, optionEntries } from "../run/options.js";
import { asksForPlan } from "../run/replan.js";
import { isTogether } from "../run/together-options.js";
import { count, exactly, flag, object, problemIn, record, text, v } from "../schema.js";
import { writeDurably, writeParts } from "../writing.js";

/** One combination of a sweep, as somebody asks for it. */
export interface Wanted {
  /** Path of the model file. */
  readonly model: string;
  readonly options: OptionsOf<"profile">;
  /** The plan is executed and compared, not only made from a measurement that other points share. */
  readonly execute?: boolean | undefined;
}

/** One point of a sweep: a line of its manifest. */
export interface Point extends Wanted {
  /** By its content and the model's bytes: the same point has the same in every manifest. */
  readonly id: string;
  /** Which point it is, from 0 on. */
  readonly index: number;
  /** The id of what is measured for it; points that differ in what is planned share it. */
  readonly profile: string;
  /** What is measured is not kept: of a large sweep only what several points share is. */
  readonly passing?: boolean | undefined;
}

/** A sweep's list of points. */
export interface Manifest {
  readonly file: string;
  /** The manifest's folder, which holds the results too. */
  readonly folder: string;
  readonly points: readonly Point[];
  /** SHA-256 of each model file, by the path that points have. */
  readonly models: Readonly<Record<string, string>>;
}

/** Measurements of a sweep that are kept, whether or not points share them: each is a file of some 100 kB to megabytes. */
const mostKept = 1000;

/** The manifest's name in a sweep's folder. */
const manifestName = "manifest.jsonl";

const headSchema = object({
  format: exactly("mutwo-sweep"),
  version: exactly(1),
  points: count,
  models: record(text),
});

const lineSchema = object({
  id: text,
  model: text,
  options: record(v.unknown()),
  profile: text,
  execute: v.optional(flag),
  passing: v.optional(flag),
});

/** Names of the options that say what is planned and how, not what is measured. */
export const planning: ReadonlySet<string> = new Set(
  optionEntries.filter(([, { group }]) => group === "planning").map(([name]) => name),
);

/** Of several models the budget decides how they are put into one step: it is planned with the measurement. */
const isPlannedThere = ({ options, execute }: Omit<Wanted, "model">): boolean =>
  execute === true || isTogether(options);

/** The options of a point's measurement: without its plan, unless that is executed. */
export const measuredOptions = (point: Omit<Wanted, "model">): OptionsOf<"profile"> => {
  const { options } = point;
  return isPlannedThere(point) && asksForPlan(options)
    ? options
    : (Object.fromEntries(Object.entries(options).filter(([name]) => !planning.has(name))) as OptionsOf<"profile">);
};

/** The options of a point's plan, which is made from its measurement; undefined where there is none to make. */
export const plannedOptions = (point: Omit<Wanted, "model">): OptionsOf<"plan"> | undefined => {
  const { options } = point;
  return isPlannedThere(point) || !asksForPlan(options)
    ? undefined
    : Object.fromEntries(Object.entries(options).filter(([name]) => planning.has(name)));
};

const sorted = (value: unknown): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(
        Object.entries(value)
          .sort(([a], [z]) => (a < z ? -1 : 1))
          .map(([name, one]) => [name, sorted(one)]),
      )
    : value;

/** What names a measurement or a point: 64 bits of the SHA-256 of its options, with defaults, and of the model's bytes. */
const idOf = (sha256: string, options: object, execute: boolean): string =>
  createHash("sha256")
    .update(JSON.stringify([sha256, sorted(withDefaults(options)), execute]))
    .digest("hex")
    .slice(0, 16);

/** The path of a file as a manifest in `folder` writes it: from there, so that both may move together. */
const fromFolder = (folder: string, file: string): string =>
  path.isAbsolute(file) ? file : path.relative(path.resolve(folder), path.resolve(file)).replaceAll(path.sep, "/");

/**
 * Writes the manifest of points into a folder, whole; a point that is wanted twice is in it once. Points that share a
 * measurement stand together. One that is there with the same points stays. Throws `manifest … is there` for one with
 * others unless `replace`, and one line for a model that cannot be read.
 */
export function writeManifest(folder: string, wanted: readonly Wanted[], replace = false): Manifest {
  const file = path.join(folder, manifestName);
  const models: Record<string, string> = {};
  const hashes = new Map<string, string>();
  const groups = new Map<string, Map<string, Omit<Point, "index">>>();
  for (const { model: given, options, execute = false } of wanted) {
    const sha256 = hashes.get(given) ?? sha256Of(given);
    hashes.set(given, sha256);
    const model = fromFolder(folder, given);
    models[model] = sha256;
    const executed = execute && asksForPlan(options);
    const profile = idOf(sha256, measuredOptions({ options, execute: executed }), executed);
    const id = idOf(sha256, options, executed);
    const group = groups.get(profile) ?? new Map<string, Omit<Point, "index">>();
    groups.set(profile, group);
    if (!group.has(id)) group.set(id, { id, model, options, profile, ...(executed ? { execute: true } : {}) });
  }
  const points = [...groups.values()].flatMap((group) =>
    group.size === 1 && groups.size > mostKept
      ? [...group.values()].map((point) => ({ ...point, passing: true }))
      : [...group.values()],
  );
  if (existsSync(file) && !replace) {
    const known = readManifest(file);
    const isSame = known.points.length === points.length && points.every(({ id }, i) => known.points[i]?.id === id);
    if (isSame) return known;
    throw new Error(
      `manifest with other points is there: ${file} (name another folder with --out, or pass --replace; results stay)`,
    );
  }
  const head = { format: "mutwo-sweep", version: 1, points: points.length, models };
  mkdirSync(folder, { recursive: true });
  writeDurably(file, (made) =>
    writeParts(
      made,
      [head, ...points].map((one) => Buffer.from(`${JSON.stringify(one)}\n`)),
    ),
  );
  return { file, folder, points: points.map((point, index) => ({ ...point, index })), models };
}

/** The manifest that a path names: the file itself, or the one in a sweep's folder. */
export const manifestFile = (place: string): string =>
  statSync(place, { throwIfNoEntry: false })?.isDirectory() ? path.join(place, manifestName) : place;

/**
 * Reads and checks a manifest, or the one in a sweep's folder. Throws one line that says what is wrong: no such file, not
 * a manifest, cut off in the middle, a line that is damaged.
 */
export function readManifest(place: string): Manifest {
  const file = manifestFile(place);
  const lines = readText("sweep's manifest", file).split("\n");
  const isWhole = lines.pop() === "";
  const head = lineOf(lines[0] ?? "") as v.InferOutput<typeof headSchema> | undefined;
  if (problemIn(headSchema, head) !== undefined || head === undefined)
    throw new Error(`not a sweep's manifest: ${file} (mutwo sweep plan SPEC.yaml makes one)`);
  if (!isWhole || lines.length <= head.points)
    throw new Error(
      `manifest is cut off: ${file} (${Math.max(0, lines.length - (isWhole ? 1 : 2))} of ${head.points} points; make it again with mutwo sweep plan, results stay)`,
    );
  const points = lines.slice(1).map((line, index): Point => {
    const point = lineOf(line);
    const problem =
      problemIn(lineSchema, point) ??
      (own(head.models, (point as Point).model) === undefined ? "its model is not in the first line" : undefined);
    if (problem !== undefined) throw new Error(`manifest is damaged: line ${index + 2}, ${problem} (${file})`);
    return { ...(point as Omit<Point, "index">), index };
  });
  if (points.length !== head.points)
    throw new Error(`manifest is damaged: ${points.length} points, its first line says ${head.points} (${file})`);
  return { file, folder: path.dirname(file), points, models: head.models };
}

function lineOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** Where a point's model lies, from here. */
export const modelFile = ({ folder }: Manifest, { model }: Wanted): string => path.resolve(folder, model);

/** What a setting is called where there is little room: a dimension by its name. */
export const settingTitle = (name: string): string => name.replace(/^dims\./, "");

/** What a point is about, in words: the options that not all points have alike. */
export function sayPoint(point: Wanted, varied: readonly string[]): string {
  const said = varied.flatMap((name) => {
    const value = settingOf(point, name);
    return value === undefined ? [] : [`${settingTitle(name)} ${value}`];
  });
  return said.join(", ") || path.basename(point.model);
}

/** What a point has by a name: `model`, a dimension as `dims.NAME`, or an option; undefined for none. */
export function settingOf({ model, options, execute }: Wanted, name: string): string | number | undefined {
  if (name === "model") return model;
  if (name === "execute") return execute ? "yes" : undefined;
  if (name.startsWith("dims.")) return own(options.dims ?? {}, name.slice("dims.".length));
  const value = own(options as Given, name);
  return typeof value === "number" || value === undefined
    ? value
    : Array.isArray(value)
      ? value.join(" ")
      : String(value);
}

/** Names of what any of some points has: the model, dimensions, options in the order of the help. */
export const settingNames = perObject((points: readonly Wanted[]): readonly string[] => {
  const options = new Set<string>();
  const dims = new Set<string>();
  for (const { options: given } of points) {
    for (const name of Object.keys(given)) options.add(name);
    for (const dim of Object.keys(given.dims ?? {})) dims.add(`dims.${dim}`);
  }
  options.delete("dims");
  const known = optionEntries.map(([name]) => name as string).filter((name) => options.has(name));
  return ["model", ...dims, ...known, ...(points.some(({ execute }) => execute) ? ["execute"] : [])];
});

/** Names of what not all points have alike. */
export const variedNames = perObject((points: readonly Wanted[]): readonly string[] =>
  settingNames(points).filter((name) => {
    const first = points[0] && settingOf(points[0], name);
    return points.some((point) => settingOf(point, name) !== first);
  }),
);
