import { nearest } from "../format.js";
import { refusalOf } from "../runtime/backends.js";
import type { CommandName, Given, OptionSpec } from "./option-kinds.js";
import { optionsOf, optionTable } from "./options.js";

/** Options that are missing, wrong or unknown: all of them at once, joined by `; `. */
export class WrongOptions extends Error {
  override readonly name = "WrongOptions";

  constructor(readonly problems: readonly string[]) {
    super(problems.join("; "));
  }
}

/** What the library's functions take besides the table's options. */
const besides: Readonly<Record<CommandName, readonly string[]>> = {
  profile: ["command", "signal", "onProgress"],
  plan: ["command"],
  verify: [],
  show: [],
  train: ["command", "signal", "onProgress", "onStep", "onEpoch"],
  trainer: ["run", "signal", "onProgress"],
};

/**
 * Checks a function's options before anything is read or measured. Throws `WrongOptions`, its message a line of all
 * that is missing, wrong or unknown.
 */
export function checkOptions(command: CommandName, options: object): void {
  const given = options as Given;
  const missing = optionsOf(command).filter(
    ([name, { required }]) => required?.includes(command) && given[name] === undefined,
  );
  const problems = [
    ...missing.map(([name]) => `missing option: ${name}`),
    ...unknownOptions(command, given),
    ...wrongOptions(command, given),
  ];
  if (problems.length) throw new WrongOptions(problems);
}

/** What is wrong with the options that are given, a line each. */
export const wrongOptions = (command: CommandName, given: Given): string[] =>
  optionsOf(command).flatMap(([name, spec]) => {
    const value = given[name];
    if (value === undefined) return [];
    const problem = valueProblem(name, spec, value, given);
    if (problem.length || !spec.only) return problem;
    return refusalOf(String(given.backend ?? optionTable.backend.default), spec.only, value) ?? [];
  });

function valueProblem(name: string, { kind, check }: OptionSpec, value: unknown, given: Given): string[] {
  const expected = `${name} is not ${kind.expected}: ${typeof value === "object" ? JSON.stringify(value) : value}`;
  if (kind.isNumber ? typeof value !== "number" : !kind.includes(value)) return [expected];
  // what uses the option says better what is wrong with a value
  const problem = check ? problemOf(() => check(value, given)) : [];
  return problem.length || kind.includes(value) ? problem : [expected];
}

/** The message of what a check throws, all of them of `WrongOptions`; none if it passes. */
export function problemOf(check: () => void): string[] {
  try {
    check();
    return [];
  } catch (error) {
    return error instanceof WrongOptions ? [...error.problems] : [(error as Error).message];
  }
}

function unknownOptions(command: CommandName, given: Given): string[] {
  const known = [...optionsOf(command).map(([name]) => name as string), ...besides[command]];
  const unknown = Object.keys(given).filter((name) => given[name] !== undefined && !known.includes(name));
  return unknown.map((name) => `unknown option: ${name} (did you mean ${nearest(name, known, 1)[0]}?)`);
}
