import { execFileSync } from "node:child_process";
import type { Command } from "commander";
import { program } from "../src/commands/program.js";
import { wrongOptions } from "../src/run/option-checks.js";
import type { CommandName } from "../src/run/option-kinds.js";
import { optionsOf } from "../src/run/options.js";

/** The words that a shell makes of a command line, without the comment behind it. */
const shellWords = (line: string): string[] =>
  execFileSync("sh", ["-c", `set -- ${line}\nprintf '%s\\0' "$@"`], { encoding: "utf8" }).split("\0").slice(0, -1);

const tableCommands: readonly string[] = ["profile", "plan", "verify", "show", "sweep"] satisfies (
  | CommandName
  | "sweep"
)[];

/** Files that a command line names and only its user has. */
const isOfUser = (problem: string): boolean => /^cannot read \S+: [A-Z]+[.\w]*|not writable: .*ENOENT/.test(problem);

/**
 * What is wrong with a command line as text: of commander, and of the options' own checks, files apart. Runs nothing. What
 * is redirected is not looked at.
 */
export async function problemsOf(line: string): Promise<string[]> {
  const [name, ...words] = shellWords(line.replace(/ >>? .*$/, ""));
  if (name !== "mutwo") return [`not a mutwo command: ${line}`];
  const problems: string[] = [];
  const root = program();
  silence(root, (command, args) => problems.push(...optionProblems(command, args)));
  try {
    await root.parseAsync(words, { from: "user" });
  } catch (error) {
    problems.push((error as Error).message);
  }
  return problems;
}

/** Takes away what commands do and say; `instead` gets the one that would have run. */
function silence(command: Command, instead: (command: Command, args: readonly string[]) => void): void {
  command.exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {}, outputError: () => {} });
  if (command.commands.length === 0) command.action(() => instead(command, command.args));
  for (const inner of command.commands) silence(inner, instead);
}

/** What the option table's kinds and checks say of a command's words. */
function optionProblems(command: Command, _args: readonly string[]): string[] {
  const name = command.name();
  if (!tableCommands.includes(name)) return [];
  const own = (name === "sweep" ? "profile" : name) as CommandName;
  const given: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [key, { flag, kind, required }] of optionsOf(own)) {
    const option = command.options.find((one) => one.long === flag);
    const words = option && command.getOptionValue(option.attributeName());
    if (Array.isArray(words))
      for (const word of (words as string[]).map((one) => (name === "sweep" ? (one.split(",")[0] as string) : one)))
        try {
          given[key] = kind.parse(word, given[key]);
        } catch (error) {
          problems.push((error as Error).message);
        }
    else if (required?.includes(own)) problems.push(`missing: ${flag}`);
  }
  return [...problems, ...wrongOptions(own, given).filter((problem) => !isOfUser(problem))];
}

/** Command lines of mutwo in a text of Markdown: lines of code, and code inside of a line that is a whole command. */
export function commandLines(markdown: string): string[] {
  const lines = markdown.split("\n");
  const blocks = lines.flatMap((line) => /^\s*(?:npx )?(mutwo .*)$/.exec(line)?.[1] ?? []);
  const inline = lines.flatMap((line) => [...line.matchAll(/`(mutwo [^`]+)`/g)].map(([, found = ""]) => found));
  return [...blocks, ...inline].map((line) => line.replace(/\s+#.*$/, "").trim());
}
