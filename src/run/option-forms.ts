import { formatCommand } from "../format.js";
import type { CommandName, Given } from "./option-kinds.js";
import { type Defaults, type ModelOptions, type OptionsOf, optionEntries, optionsOf } from "./options.js";

/** The words after `mutwo` of the command line that does the same again. */
export function commandWords<C extends CommandName>(command: C, file: string, options: OptionsOf<C>): string[] {
  const files = [file];
  const words = optionsOf(command).flatMap(([name, { flag, kind }]) => {
    const value = (options as Given)[name];
    if (value === undefined) return [];
    if (kind.positional) {
      files.push(...kind.words(value));
      return [flag];
    }
    return kind.words(value).flatMap((word) => {
      if (!kind.metavar || (kind.optional && word === "")) return [flag];
      // behind a flag that may stand alone a word that begins with a dash is another flag
      return kind.optional ? [`${flag}=${word}`] : [flag, word];
    });
  });
  return [command, ...files, ...words];
}

/** The command line that does the same again. */
export const commandOf = <C extends CommandName>(command: C, file: string, options: OptionsOf<C>): string =>
  formatCommand(["mutwo", ...commandWords(command, file, options)]);

/** The options with the defaults of those that are not given. */
export function withDefaults<T extends object>(options: T): T & Defaults {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const defaults = optionEntries.flatMap(([name, spec]) => (spec.default === undefined ? [] : [[name, spec.default]]));
  return Object.fromEntries([...defaults, ...given]) as T & Defaults;
}

/** What a run's `model` holds of the options. */
export function modelOptions(options: ModelOptions): ModelOptions {
  const names = optionEntries.filter(([, { model }]) => model).map(([name]) => name);
  const given = names.map((name) => [name, (options as unknown as Given)[name]]);
  return Object.fromEntries(given.filter(([, value]) => value !== undefined)) as ModelOptions;
}

/** The report's facts on the options that a run's `model` holds: label and text. */
export const optionFacts = (model: ModelOptions): (readonly [label: string, text: string])[] =>
  optionEntries.flatMap(([name, { kind, fact }]) => {
    const value = (model as unknown as Given)[name];
    if (!fact || value === undefined) return [];
    const said = kind.say(value);
    return said ? [[fact, said] as const] : [];
  });
