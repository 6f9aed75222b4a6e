import { own } from "../own.js";
import type { BackendOption } from "../runtime/backends.js";

/**
 * Commands whose options are those of the table; all but show have a function of the library. `trainer` is no command:
 * it is what `openTrainer` takes, of which `train` has all.
 */
export type CommandName = "profile" | "plan" | "verify" | "show" | "train" | "trainer";

/** Options of any command, by name. */
export type Given = Readonly<Record<string, unknown>>;

/** What options are about, in the order of a command's help, and the headings there. */
export const optionGroups = {
  training: "Training:",
  step: "Step:",
  together: "Several models:",
  device: "Device:",
  measuring: "Measuring:",
  planning: "Planning:",
  output: "Output:",
} as const;

/** What is known of an option whose value is a `T`, whatever becomes of it in a run. */
interface OptionEntry<T> {
  /** As on the command line; `--no-…` for a switch that is on without it. */
  readonly flag: string;
  readonly kind: Kind<T>;
  readonly help: string;
  readonly group: keyof typeof optionGroups;
  readonly commands: readonly CommandName[];
  /** Commands that do nothing without it. */
  readonly required?: readonly CommandName[];
  /** What holds where none is given. */
  readonly default?: T;
  /** Commands that say the default as if it had been given, so that the printed command holds when it changes. */
  readonly stated?: readonly CommandName[];
  /** The backends that have it, where not all do. */
  readonly only?: BackendOption<T>;
  /** Throws what is wrong with a value beside the others, as far as can be said before anything is read. */
  check?(value: T, given: Given): void;
}

/** Of an option that decides what the training step is: it stands in a run's `model`. */
interface OfModel {
  readonly model: true;
  /** Its row among the report's facts; false for one that the report says elsewhere. */
  readonly fact: string | false;
}

/** Everything that is known of an option whose value is a `T`. */
export type OptionSpec<T = unknown> = OptionEntry<T> & (OfModel | { readonly model?: never; readonly fact?: never });

/** How an option's value is written on a command line, and what it may be. */
export interface Kind<T> {
  /** What stands for the value in help, `<n>`, `[file]` where it may be missing; empty for an option without one. */
  readonly metavar: string;
  /** Whether the option may be given again, each time adding to the value. */
  readonly repeats?: true;
  /** Whether the flag may stand alone. */
  readonly optional?: true;
  /** Whether the flag stands alone and the values behind the command's file. */
  readonly positional?: true;
  /** The only values there are. */
  readonly choices?: readonly string[];
  /** Whether a value is a number; `includes` then says in which range. */
  readonly isNumber?: true;
  /** What a value is, for a library user who gave another: `a whole number from 1 on`. */
  readonly expected: string;
  includes(value: unknown): boolean;
  /** The value of a word; `before` is what earlier words of the same option have made. Throws how to write it. */
  parse(word: string, before: T | undefined): T;
  /** The words of a command line that give a value, each after the option's flag; `[""]` is the flag alone. */
  words(value: T): readonly string[];
  /** The value in a report. */
  say(value: T): string;
}

const one = (value: unknown): readonly string[] => [String(value)];

/** Any text. */
export const text = (what: string): Kind<string> => ({
  metavar: `<${what}>`,
  expected: "text",
  includes: (value) => typeof value === "string",
  parse: (word) => word,
  words: one,
  say: String,
});

/** Any text, or none: the flag alone gives `""`. */
export const optionalText = (what: string): Kind<string> => ({ ...text(what), metavar: `[${what}]`, optional: true });

/** One of a few words. */
export const choice = <const T extends string>(what: string, choices: readonly T[]): Kind<T> => ({
  metavar: `<${what}>`,
  choices,
  expected: `one of ${choices.join(", ")}`,
  includes: (value) => choices.some((known) => known === value),
  parse(word) {
    const known = choices.find((name) => name === word);
    if (known === undefined) throw new Error(`Allowed choices are ${choices.join(", ")}.`);
    return known;
  },
  words: one,
  say: String,
});

const isCount = (value: unknown, least: number, most = Number.MAX_SAFE_INTEGER): boolean =>
  Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;

/** A whole number from `least` on, up to `most` if that is given. */
export const count = (least: number, most?: number): Kind<number> => {
  const range = `a whole number from ${least} ${most === undefined ? "on" : `to ${most}`}`;
  return {
    metavar: "<n>",
    isNumber: true,
    expected: range,
    includes: (value) => isCount(value, least, most),
    parse(word) {
      const value = Number(word);
      if (!isCount(value, least, most)) throw new Error(`use ${range}`);
      return value;
    },
    words: one,
    say: String,
  };
};

const isPositive = (value: unknown): boolean => Number.isFinite(value) && (value as number) > 0;

/** A number above 0. */
export const positive = (): Kind<number> => ({
  metavar: "<x>",
  isNumber: true,
  expected: "a positive number",
  includes: isPositive,
  parse(word) {
    const value = Number(word);
    if (!isPositive(value)) throw new Error("use a positive number");
    return value;
  },
  words: one,
  say: String,
});

/** A switch that its flag sets to `to`: `--deterministic` to true, `--no-tf32` to false. */
export const flag = (to = true): Kind<boolean> => ({
  metavar: "",
  expected: "true or false",
  includes: (value) => typeof value === "boolean",
  parse: () => to,
  words: (value) => (value === to ? [""] : []),
  say: (value) => (value ? "yes" : "no"),
});

/** Any number of texts, one each time. */
export const texts = (what: string): Kind<readonly string[]> => ({
  metavar: `<${what}>`,
  repeats: true,
  expected: "a list of texts",
  includes: (value) => Array.isArray(value) && value.every((word) => typeof word === "string"),
  parse: (word, before = []) => [...before, word],
  words: (value) => value,
  say: (value) => value.join(", "),
});

/** Further ones of what the command's own argument is: the flag says that they are wanted. */
export const others = (what: string): Kind<readonly string[]> => ({ ...texts(what), metavar: "", positional: true });

/** Sizes by name, one each time. */
export const sizes = (): Kind<Readonly<Record<string, number>>> => ({
  metavar: "<name=N>",
  repeats: true,
  expected: "positive whole numbers by name",
  includes: (value) =>
    typeof value === "object" && value !== null && Object.values(value).every((size) => isCount(size, 1)),
  parse(word, before = {}) {
    const [, name, size] = /^(.+)=(\d+)$/s.exec(word) ?? [];
    if (!name || !Number(size)) throw new Error("use NAME=N with a positive whole number, batch=32");
    const known = own(before, name);
    if (known !== undefined && known !== Number(size))
      throw new Error(`contradicting dimension: ${name} is ${known} and ${size}`);
    return { ...before, [name]: Number(size) };
  },
  words: (value) => Object.entries(value).map(([name, size]) => `${name}=${size}`),
  say: (value) =>
    Object.entries(value)
      .map(([name, size]) => `${name} = ${size}`)
      .join(", "),
});
