#!/usr/bin/env node
import { writeFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { adviseCommand } from "./commands/advise.js";
import { compareCommand } from "./commands/compare.js";
import { completionCommand } from "./commands/completion.js";
import { cudaCommand } from "./commands/cuda.js";
import { demoCommand } from "./commands/demo.js";
import { doctorCommand } from "./commands/doctor.js";
import { addExamples } from "./commands/examples.js";
import { exportCommand } from "./commands/export.js";
import { helpCommand } from "./commands/help.js";
import { inspectCommand } from "./commands/inspect.js";
import { kernelCommand } from "./commands/kernel.js";
import { notebookCommand } from "./commands/notebook.js";
import { ownPrefix } from "./commands/options.js";
import { planCommand } from "./commands/plan.js";
import { Interrupted } from "./commands/process.js";
import { profileCommand } from "./commands/profile.js";
import { reportCommand } from "./commands/report.js";
import { showCommand } from "./commands/show.js";
import { sweepCommand } from "./commands/sweep.js";
import { complain, inColour, withoutColour } from "./commands/terminal.js";
import { traceCommand } from "./commands/trace.js";
import { verifyCommand } from "./commands/verify.js";
import { ownVersion } from "./root.js";
import { WrongOptions } from "./run/option-checks.js";

/** Every command, in the order of `mutwo --help`. A command imports what it works with when it runs: help is instant. */
const commands: readonly ((root: Command) => Command)[] = [
  demoCommand,
  inspectCommand,
  profileCommand,
  planCommand,
  reportCommand,
  compareCommand,
  adviseCommand,
  sweepCommand,
  showCommand,
  traceCommand,
  verifyCommand,
  exportCommand,
  notebookCommand,
  kernelCommand,
  cudaCommand,
  doctorCommand,
  completionCommand,
  helpCommand,
];

/** The command line as commander has it, nothing parsed yet. */
export function program(): Command {
  const root = new Command("mutwo")
    .description(
      "Profiles the training step of an ONNX model, plans it into a memory budget, executes the plan and reports.",
    )
    .version(ownVersion())
    .option("--no-color", "no colours, as with NO_COLOR set (may stand anywhere)")
    .configureOutput({ outputError: (said, write) => write(inColour(ownPrefix(said), process.stderr)) })
    .exitOverride();
  for (const addTo of commands) addTo(root);
  pointToHelp(root, root.name());
  addExamples(root);
  return root;
}

/** After an error a command, and each of its own commands, says how to get its help. */
function pointToHelp(command: Command, words: string): void {
  command.showHelpAfterError(`(${words} --help lists what there is)`);
  for (const inner of command.commands) pointToHelp(inner, `${words} ${inner.name()}`);
}

/** Runs a command line; an error becomes a line on stderr, all that is wrong with options a line each: exit status 2. */
async function main(argv: readonly string[]): Promise<void> {
  try {
    await program().parseAsync(withoutColour(argv));
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode !== 0) process.exitCode = 2;
      return; // commander has printed its line
    }
    const { message, stack } = error as Error;
    const lines = error instanceof WrongOptions ? error.problems : [message.split("\n")[0] as string];
    for (const line of lines) complain(line);
    if (process.env.MUTWO_STACK) writeFileSync(2, `${stack}\n`);
    process.exitCode = error instanceof Interrupted ? Interrupted.exitStatus : 2;
  }
}

void main(process.argv);
