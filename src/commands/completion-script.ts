import type { Command, Option } from "commander";
import { topics } from "./topics.js";

/** The shells that there is a script for. */
export const shells = ["bash", "zsh"] as const;

type ValuesOf = (option: Option) => readonly string[];

/** A command as a shell sees it: `notebook run`, its own commands, its options, words that it takes besides files. */
interface Completed {
  readonly path: string;
  readonly commands: readonly string[];
  readonly options: readonly Option[];
  readonly words: readonly string[];
}

/**
 * A script of that shell that completes a program's commands, options and the values of options; elsewhere files. It holds
 * all that it needs: completing starts no program. Source it (bash), or put it as `_mutwo` into a folder of `$fpath` (zsh).
 */
export function completionScript(shell: (typeof shells)[number], program: Command, valuesOf: ValuesOf): string {
  const all = completedIn(program, "");
  return shell === "bash" ? bashScript(program.name(), all, valuesOf) : zshScript(program.name(), all, valuesOf);
}

function completedIn(command: Command, path: string): Completed[] {
  const inner = command.commands.flatMap((one) => completedIn(one, `${path} ${one.name()}`.trim()));
  const names = command.commands.map((one) => one.name());
  const words =
    path === "help"
      ? [...topics(), ...(command.parent?.commands.map((one) => one.name()) ?? [])]
      : command.registeredArguments.flatMap((argument) => argument.argChoices ?? []);
  const options = command.createHelp().visibleOptions(command);
  return [{ path, commands: names, options, words }, ...inner];
}

const flagsOf = ({ short, long }: Option): string[] => [long, short].flatMap((flag) => flag ?? []);

/** Whether an option's value is a file or may be anything. */
const takesValue = (option: Option): boolean => option.required || option.optional;

/** In single quotes, for either shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** Shell lines that find out in `path` which command the words before the cursor name. */
const pathLines = (all: readonly Completed[], words: string, first: number, end: string): string =>
  [
    `  local at="" i`,
    `  for ((i = ${first}; i < ${end}; i++)); do`,
    `    case "$at \${${words}[i]}" in`,
    ...all.filter(({ path }) => path).map(({ path }) => `      ${quoted(` ${path}`)}) at=${quoted(` ${path}`)} ;;`),
    "    esac",
    "  done",
  ].join("\n");

function bashScript(name: string, all: readonly Completed[], valuesOf: ValuesOf): string {
  const values = all.flatMap(({ path, options }) =>
    options.flatMap((option) => {
      if (!takesValue(option)) return [];
      const patterns = flagsOf(option).map((flag) => quoted(`${path ? ` ${path}` : ""} ${flag}`));
      return [`    ${patterns.join("|")}) _${name}_words ${quoted(valuesOf(option).join(" "))}; return ;;`];
    }),
  );
  const words = all.map(({ path, commands, options, words: own }) => {
    const flags = options.flatMap((option) => option.long ?? []).join(" ");
    const plain = [...commands, ...own].join(" ");
    return `    ${quoted(path ? ` ${path}` : "")}) if [[ $cur == -* ]]; then _${name}_words ${quoted(flags)}; else _${name}_words ${quoted(plain)}; fi ;;`;
  });
  return `# bash completion of ${name}: source it, or append it to ~/.bashrc
_${name}_words() {
  local IFS=$' \\t\\n'
  COMPREPLY=($(compgen -W "$1" -- "$cur"))
}
_${name}() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}"
  COMPREPLY=()
${pathLines(all, "COMP_WORDS", 1, "COMP_CWORD")}
  case "$at $before" in
${values.join("\n")}
  esac
  case "$at" in
${words.join("\n")}
  esac
}
complete -o default -F _${name} ${name}
`;
}

function zshScript(name: string, all: readonly Completed[], valuesOf: ValuesOf): string {
  const spec = (option: Option): string => {
    const about = `[${option.description.replace(/[[\]:\\]/g, "\\$&")}]`;
    const values = valuesOf(option).map((value) => value.replaceAll(":", "\\:"));
    const value = takesValue(option) ? `:value:${values.length ? `(${values.join(" ")})` : "_files"}` : "";
    // `*` lets an option stand more than once
    return flagsOf(option)
      .map((flag) => quoted(`*${flag}${about}${value}`))
      .join(" ");
  };
  const branches = all.map(({ path, commands, options, words }) => {
    const plain = [...commands, ...words];
    const argument = plain.length ? `'*:command:(${plain.join(" ")})'` : `'*:file:_files'`;
    return `    ${quoted(path ? ` ${path}` : "")}) _arguments ${[...options.map(spec), argument].join(" ")} ;;`;
  });
  return `#compdef ${name}
# zsh completion of ${name}: put it as _${name} into a folder of $fpath, before compinit
_${name}() {
${pathLines(all, "words", 2, "CURRENT")}
  # what is left to complete are a command's own words
  local -a depth=(\${(s: :)at})
  words=("$words[1]" "\${(@)words[2 + $#depth, -1]}")
  (( CURRENT -= $#depth ))
  case "$at" in
${branches.join("\n")}
  esac
}
_${name} "$@"
`;
}
