import path from "node:path";
import { nearest } from "../format.js";
import { own } from "../own.js";
import type { OptionSpec } from "../run/option-kinds.js";
import { optionsOf } from "../run/options.js";
import { shown } from "../schema.js";

/** What a point has by name: `model`, `execute`, an option, or a dimension as `dims.NAME`; undefined for nothing. */
export type Settings = Readonly<Record<string, unknown>>;

/** Options of `mutwo profile` that a point may have, by name; one that writes a file of its own would write it for all. */
const options: Readonly<Record<string, OptionSpec>> = Object.fromEntries(
  optionsOf("profile").filter(([name]) => name !== "record" && name !== "dims"),
);

export const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What a setting is, for who draws one. */
export interface Setting {
  readonly name: string;
  /** Where it stands in the spec, for messages. */
  readonly where: string;
  /** The value of what is written. Throws one line. */
  parse(raw: unknown): unknown;
}

/** The settings that a part of a spec names, each with the values that `several` makes of what is written. */
export function settingsIn(
  part: unknown,
  where: string,
  folder: string,
  several: (raw: unknown, setting: Setting) => readonly unknown[],
  besides: readonly string[] = [],
): Readonly<Record<string, readonly unknown[]>> {
  if (!isMap(part)) throw new Error(`${where} is ${shown(part)}, not keys with values`);
  const place = (name: string): string => (where ? `${where}.${name}` : name);
  const settings: Record<string, readonly unknown[]> = {};
  const add = (name: string, raw: unknown): void => {
    const setting = { name, where: place(name), parse: (one: unknown) => parseSetting(name, one, place(name), folder) };
    settings[name] = several(raw, setting).map(setting.parse);
  };
  for (const [key, raw] of Object.entries(part)) {
    if (key === "dims") {
      if (!isMap(raw)) throw new Error(`${place(key)} is ${shown(raw)}, not sizes by name: {batch: 8}`);
      for (const [dim, size] of Object.entries(raw)) add(`dims.${dim}`, size);
    } else if (key === "model" || key === "execute" || own(options, key)) add(key, raw);
    else {
      const known = ["model", "execute", "dims", ...besides, ...Object.keys(options)];
      throw new Error(`unknown key: ${place(key)} (nearest: ${nearest(key, known, 3).join(", ")})`);
    }
  }
  return settings;
}

/** The value of a setting as a spec writes it; null is nothing. Throws one line for what is none. */
function parseSetting(name: string, raw: unknown, where: string, folder: string): unknown {
  const refuse = (expected: string): never => {
    throw new Error(`${where} is ${shown(raw)}, not ${expected}`);
  };
  if (raw === null || raw === undefined) return undefined;
  if (name === "model" && typeof raw !== "string") return refuse("a path");
  if (name === "model") return path.isAbsolute(raw as string) ? raw : path.join(folder, raw as string);
  if (name === "execute") return typeof raw === "boolean" ? raw : refuse("true or false");
  if (name.startsWith("dims."))
    return Number.isSafeInteger(raw) && (raw as number) > 0 ? raw : refuse("a whole number from 1 on");
  const { kind } = own(options, name) as OptionSpec;
  if (kind.includes(raw)) return beside(name, raw, folder);
  // an option without a value is on or off; a text may look like a number
  if (kind.metavar === "" || typeof raw === "object" || typeof raw === "boolean") return refuse(kind.expected);
  if (kind.isNumber) return refuse(kind.expected);
  try {
    return beside(name, kind.parse(String(raw), undefined), folder);
  } catch (error) {
    throw new Error(`${where} is ${shown(raw)}: ${(error as Error).message}`, { cause: error });
  }
}

/** A value that names a file, from wherever the point is done. */
function beside(name: string, value: unknown, folder: string): unknown {
  if (typeof value !== "string") return value;
  if (name === "backend")
    return value.replace(/^replay:(.*)$/s, (_, file: string) => `replay:${path.resolve(folder, file)}`);
  return name === "deviceSpec" && value.endsWith(".json") ? path.resolve(folder, value) : value;
}
