import type { Command } from "commander";
import type { Verdict } from "../run/assertion.js";
import type { Differences } from "../run/differences.js";
import { newestRuns } from "./newest.js";
import { printJson } from "./process.js";

interface CompareFlags {
  readonly assert?: readonly string[];
  readonly markdown?: boolean;
  readonly json?: boolean;
  readonly rows?: string;
  readonly out?: string;
}

/** `mutwo compare`: runs beside each other, differences first; the exit status is 1 if an assertion fails. */
export const compareCommand = (root: Command): Command =>
  root
    .command("compare [run...]")
    .description(
      "set saved runs side by side, the first as the base (the two newest in ./reports if none is named): figures, nodes, activations, largest differences first",
    )
    .option(
      "--assert <condition>",
      "exit with 1 unless it holds of each run after the base, or of the only one: 'peakBytes < 4GiB', 'stepMs < 1.05 * base' (repeat)",
      (word: string, before: readonly string[] = []) => [...before, word],
    )
    .option("--markdown", "print tables in Markdown, fit for a pull request")
    .option("--json", "print one JSON object on stdout and nothing else")
    .option("--out <file>", "write the comparison as an HTML page too, with all rows")
    .option("--rows <n>", "so many nodes and activations (default 10)")
    .addHelpText("after", figureHelp)
    .action(compare);

/** The figures that may be asserted, for the end of the help. */
function figureHelp(): string {
  const { figures } = require("../run/figures.js") as typeof import("../run/figures.js");
  const width = Math.max(...figures.map(({ name }) => name.length));
  return `\nFigures for --assert:\n${figures.map(({ name, what }) => `  ${name.padEnd(width)}  ${what}`).join("\n")}\n`;
}

/** Prints the comparison and what was asserted of it. Throws one line for a run or an assertion that cannot be read. */
export async function compare(given: readonly string[], flags: CompareFlags): Promise<void> {
  const { judgeAssertion, parseAssertion } = await import("../run/assertion.js");
  const { readRun } = await import("../run/read-run.js");
  const rows = rowCount(flags.rows);
  const files = given.length ? given : newestRuns(2).reverse();
  const assertions = (flags.assert ?? []).map(parseAssertion);
  if (flags.out !== undefined) {
    const { checkFileWritable } = await import("../run/folder.js");
    const { runFile } = await import("../run/run.js");
    checkFileWritable("page", flags.out, files.map(runFile));
  }
  const runs = files.map(readRun);
  if (flags.out !== undefined && runs.length < 2)
    throw new Error(`comparing takes two runs or more: --out ${flags.out}`);
  const [base, ...others] = runs as [(typeof runs)[number], ...typeof runs];
  if (others.length === 0 && assertions.length === 0)
    throw new Error(`comparing takes two runs or more: ${files.join(" ")} (or one with --assert 'peakBytes < 4GiB')`);
  const [relative] = others.length === 0 ? assertions.filter(({ right }) => "factor" in right) : [];
  if (relative) throw new Error(`assertion without a base: ${relative.text} (pass two runs, the base first)`);
  const verdicts = (others.length ? others : [base]).flatMap((run) =>
    assertions.map((assertion) => judgeAssertion(assertion, run, base)),
  );
  const { differencesOf } = await import("../run/differences.js");
  const differences = others.length ? differencesOf(runs) : undefined;
  if (flags.out !== undefined && differences) {
    const { writeWhole } = await import("../writing.js");
    const { compareHtml } = await import("../report/compare-page.js");
    writeWhole(flags.out, compareHtml(differences));
  }
  if (flags.json) printJson({ ...(differences && (await asJson(differences, rows))), assertions: verdicts });
  else process.stdout.write(await asText(differences, verdicts, rows, flags.markdown ?? false));
  if (verdicts.some(({ holds }) => !holds)) process.exitCode = 1;
}

function rowCount(word = "10"): number {
  if (!/^\d+$/.test(word)) throw new Error(`rows is not a whole number: ${word} (use --rows 10)`);
  return Number(word);
}

async function asJson(differences: Differences, rows: number): Promise<object> {
  const { runs, settings, figures, modules, holders, nodes, activations } = differences;
  return {
    runs: runs.map(({ id, command, model }) => ({ id, command, model: model.file })),
    settings,
    figures: figures.map(({ figure: { name, unit }, values }) => ({ name, unit, values })),
    modules: modules.map((list) => list.slice(0, rows)),
    holders: holders.map((list) => list.slice(0, rows)),
    nodes: nodes.map((list) => list.slice(0, rows)),
    activations: activations.map((list) => list.slice(0, rows)),
  };
}

async function asText(
  differences: Differences | undefined,
  verdicts: readonly Verdict[],
  rows: number,
  isMarkdown: boolean,
): Promise<string> {
  const { differenceTables } = await import("../report/difference-tables.js");
  const { markdownText } = await import("../report/text-tables.js");
  const { gridText } = await import("./table.js");
  const say = isMarkdown ? markdownText : gridText;
  const parts = differences ? differenceTables(differences, rows).map((table) => say(table)) : [];
  const mark = ({ holds, line }: Verdict): string => `${isMarkdown ? "- " : ""}${holds ? "holds" : "FAILS"}: ${line}\n`;
  return [...parts, ...(verdicts.length ? [verdicts.map(mark).join("")] : [])].join("\n");
}
