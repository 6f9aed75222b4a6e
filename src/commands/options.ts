import { type Command, Option } from "commander";
import { problemOf, wrongOptions } from "../run/option-checks.js";
import { type CommandName, type OptionSpec, optionGroups } from "../run/option-kinds.js";
import { type OptionsOf, optionsOf } from "../run/options.js";
import { inColour } from "./terminal.js";

/** What a command line says: the options of the table, what is not written as it should be, and what is wrong. */
interface Reading {
  readonly options: Readonly<Record<string, unknown>>;
  /** Lines on what cannot be read. */
  readonly misused: readonly string[];
  /** Lines on what can be read and is wrong. */
  readonly wrong: readonly string[];
}

/**
 * Gives a command the options of the table that it has, and an action that gets them read and checked. All that is
 * missing or wrong is said at once, a line each, before the action runs; `check` throws for what is wrong with the
 * command's other flags, or with options beside each other.
 */
export function withOptions<C extends CommandName, Flags extends object>(
  command: Command,
  name: C,
  action: (file: string, options: OptionsOf<C>, flags: Flags) => Promise<void>,
  check: (flags: Flags, options: OptionsOf<C>) => void = () => {},
): Command {
  for (const [, spec] of optionsOf(name)) command.addOption(commanderOption(spec));
  const read = (): Reading => {
    const { options, misused } = readOptions(name, wordsOf(command), command.args.slice(1));
    const wrong = problemOf(() => check(command.opts(), options as OptionsOf<C>));
    return { options, misused, wrong: [...wrongOptions(name, options), ...wrong] };
  };
  const lines = ({ misused, wrong }: Reading): string[] => [...misused, ...wrong].map((line) => `mutwo: ${line}`);
  // where commander has something to say itself (an unknown option), the rest is said with it
  command.configureOutput({
    outputError: (said, write) =>
      write(
        inColour(
          `${[...new Set([...ownPrefix(said).trimEnd().split("\n"), ...lines(read())])].join("\n")}\n`,
          process.stderr,
        ),
      ),
  });
  return command.action(async (file: string) => {
    const reading = read();
    if (reading.misused.length || reading.wrong.length) command.error(lines(reading).join("\n"));
    await action(file, reading.options as OptionsOf<C>, command.opts<Flags>());
  });
}

/** What commander says, with the prefix that every error has. */
export const ownPrefix = (said: string): string => said.replace(/^error: /gm, "mutwo: ");

/** An option as commander has it: its words are kept as they are, and read when all of them are there. */
function commanderOption({ flag, kind, help, group, default: value }: OptionSpec): Option {
  const holds = value === undefined ? "" : kind.say(value);
  const option = new Option(`${flag} ${kind.metavar}`.trim(), holds ? `${help} (default ${holds})` : help);
  option.helpGroup(optionGroups[group]);
  if (kind.choices) option.choices(kind.choices);
  return kind.metavar ? option.argParser((word, before: readonly string[] = []) => [...before, word]) : option;
}

/** What stands on the command line for an option: its words, or of a switch whether it is on; undefined for nothing. */
type Words = (option: Option, key: string) => unknown;

const wordsOf =
  (command: Command): Words =>
  (option) =>
    command.getOptionValue(option.attributeName());

/** What a command line says of `profile`'s options where some list several values. */
export interface Grid {
  /** Flags of those that are given. */
  readonly given: readonly string[];
  /** All combinations. Ends the command with all that is missing or wrong, a line each. */
  points(): readonly OptionsOf<"profile">[];
}

/** Gives a command `profile`'s options, some of which may list several values, and an action that gets all combinations. */
export function withGrid<Flags extends object>(
  command: Command,
  listed: Readonly<Partial<Record<keyof OptionsOf<"profile">, (word: string) => readonly string[]>>>,
  action: (file: string, grid: Grid, flags: Flags) => Promise<void>,
): Command {
  for (const [, spec] of optionsOf("profile")) command.addOption(commanderOption(spec));
  const given = wordsOf(command);
  const points = (): readonly OptionsOf<"profile">[] => {
    let combinations: Readonly<Record<string, readonly string[]>>[] = [{}];
    for (const [key, spec] of optionsOf("profile")) {
      const split = listed[key as keyof typeof listed];
      const words = split ? given(commanderOption(spec), key) : undefined;
      if (split && Array.isArray(words))
        for (const alternatives of (words as string[]).map(split))
          combinations = combinations.flatMap((one) =>
            alternatives.map((word) => ({ ...one, [key]: [...(one[key] ?? []), word] })),
          );
    }
    const readings = combinations.map((one) => {
      const { options, misused } = readOptions("profile", (option, key) => one[key] ?? given(option, key));
      return { options, misused, wrong: wrongOptions("profile", options) };
    });
    const misused = readings.flatMap((reading) => reading.misused);
    const wrong = [...misused, ...readings.flatMap((reading) => reading.wrong)];
    if (wrong.length) command.error([...new Set(wrong)].map((line) => `mutwo: ${line}`).join("\n"));
    return readings.map(({ options }) => options as OptionsOf<"profile">);
  };
  const flagsGiven = (): string[] =>
    optionsOf("profile").flatMap(([key, spec]) => {
      const option = commanderOption(spec);
      const words = given(option, key);
      return Array.isArray(words) || words === !option.negate ? [spec.flag] : [];
    });
  return command.action(async (file: string, flags: Flags) => action(file, { given: flagsGiven(), points }, flags));
}

/**
 * The values that a command line gives, and what cannot be read as one or is not there; `others` are the words behind the
 * first one that belong to no option.
 */
function readOptions(name: CommandName, words: Words, others: readonly string[] = []): Omit<Reading, "wrong"> {
  const options: Record<string, unknown> = {};
  const misused: string[] = [];
  for (const [key, spec] of optionsOf(name)) {
    const option = commanderOption(spec);
    const written = words(option, key);
    if (spec.kind.positional) {
      if (written) options[key] = others;
      else if (others.length && !others.some((word) => word.startsWith("-")))
        misused.push(`more than one model: ${others[0]} (pass ${spec.flag})`);
      continue;
    }
    if (Array.isArray(written))
      for (const word of written as string[])
        try {
          options[key] = spec.kind.parse(word, options[key]);
        } catch (error) {
          const { message } = error as Error;
          misused.push(`option '${option.flags}' argument '${word}' is invalid. ${message}`);
        }
    else if (written === !option.negate) options[key] = spec.kind.parse("", undefined);
    else if (spec.required?.includes(name)) misused.push(`required option '${option.flags}' not specified`);
    else if (spec.stated?.includes(name)) options[key] = spec.default;
  }
  return { options, misused };
}
