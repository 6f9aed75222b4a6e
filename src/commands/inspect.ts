import { type Command, InvalidArgumentError, Option } from "commander";
import { optionGroups, sizes } from "../run/option-kinds.js";
import { printJson } from "./process.js";
import { complain } from "./terminal.js";

interface InspectFlags {
  readonly dim?: Readonly<Record<string, number>>;
  readonly json?: boolean;
}

/** `mutwo inspect`: what a model is, before anything runs; the exit status is 1 if no training step can be made of it. */
export const inspectCommand = (root: Command): Command =>
  root
    .command("inspect <model>")
    .description(
      "what a model is, before anything runs: inputs, dimensions to bind, parameters by module, losses that fit, a command to go on with",
    )
    .addOption(
      new Option("--dim <name=N>", "size of a symbolic dimension (repeat; default: a guess by its name)")
        .argParser(readSize)
        .helpGroup(optionGroups.step),
    )
    .addOption(new Option("--json", "print one JSON object on stdout and nothing else").helpGroup(optionGroups.output))
    .action(inspect);

function readSize(word: string, before?: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  try {
    return sizes().parse(word, before);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

async function inspect(file: string, { dim, json }: InspectFlags): Promise<void> {
  const { inspectModel } = await import("../run/inspect.js");
  const { inspectionSummary } = await import("./inspection.js");
  const found = inspectModel(file, dim);
  if (json) printJson(found);
  else process.stdout.write(`${inspectionSummary(found)}\n`);
  if (found.problem === null) return;
  if (!json) complain(found.problem);
  process.exitCode = 1;
}
