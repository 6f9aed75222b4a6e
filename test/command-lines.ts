import { execFileSync } from "node:child_process";
import type { Command } from "commander";
import { program } from "../src/commands/program.js";
import { wrongOptions } from "../src/run/option-checks.js";
import type { CommandName } from "../src/run/option-kinds.js";
import { optionsOf } from "../src/run/options.js";

/** The words that a shell makes of a command line, without the comment behind it. */
const shellWords = (line: string): string[] =>
  execFileSync("sh", ["-c", `set -- ${line}\nprintf '%s\\0' "$@"`], { encoding: "utf8" })
    .split("\0")
    .slice(0, -1);

/** Commands with options of the table; sweep has profile's. */
const tableCommands: readonly string[] = ["profile", "plan", "verify", "show", "sweep"];

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
  silence(root, (command) => problems.push(...optionProblems(command)));
  try {
    await root.parseAsync(words, { from: "user" });
  } catch (error) {
    problems.push((error as Error).message);
  }
  return problems;
}

/** Whether a command does something itself: one of several commands may, if it takes a file. */
export const hasAction = (command: Command): boolean =>
  command.commands.length === 0 || command.registeredArguments.length > 0;

/** Takes away what commands do and say; `instead` gets the one that would have run. */
function silence(command: Command, instead: (command: Command) => void): void {
  command.exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {}, outputError: () => {} });
  if (hasAction(command)) command.action(() => instead(command));
  for (const inner of command.commands) silence(inner, instead);
}

/** What the option table's kinds and checks say of a command's words. */
function optionProblems(command: Command): string[] {
  const name = command.name();
  if (!tableCommands.includes(name) || command.parent?.name() === "sweep") return [];
  // what a manifest or a spec says
  if (name === "sweep" && !/\.onnx$/.test(command.args[0] ?? "")) return [];
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

/** A command line without the marks of what may be left out or repeated. */
export const plain = (line: string): string => line.replace(/[[\]…]/g, "");

/** A command that is only mentioned by its name needs no arguments: that it is there is enough. */
const mention = (line: string): string => line.replace(/^mutwo ([a-z]+)$/, "mutwo help $1");

/** Command lines of mutwo in a text of Markdown: lines of code, and code inside of a line that is a whole command. */
export function commandLines(markdown: string): string[] {
  const lines = markdown.split("\n");
  const blocks = lines.flatMap((line) => /^\s*(?:npx )?(mutwo [a-z].*)$/.exec(line)?.[1] ?? []);
  const inline = lines.flatMap((line) =>
    [...line.matchAll(/`(mutwo [^`]+)`/g)].map(([, found = ""]) => mention(found)),
  );
  return [...blocks, ...inline].map((line) => line.replace(/\s+#.*$/, "").trim());
}

/** What `--help` prints of a command. */
export function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
    getOutHelpWidth: () => 80,
  });
  command.outputHelp();
  return text;
}
