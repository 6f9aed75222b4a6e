import { Command } from "commander";
import { ownVersion } from "../root.js";
import { adviseCommand } from "./advise.js";
import { compareCommand } from "./compare.js";
import { completionCommand } from "./completion.js";
import { cudaCommand } from "./cuda.js";
import { demoCommand } from "./demo.js";
import { doctorCommand } from "./doctor.js";
import { addExamples } from "./examples.js";
import { exportCommand } from "./export.js";
import { helpCommand } from "./help.js";
import { inspectCommand } from "./inspect.js";
import { kernelCommand } from "./kernel.js";
import { notebookCommand } from "./notebook.js";
import { ownPrefix } from "./options.js";
import { planCommand } from "./plan.js";
import { profileCommand } from "./profile.js";
import { reportCommand } from "./report.js";
import { showCommand } from "./show.js";
import { sweepCommand } from "./sweep.js";
import { inColour } from "./terminal.js";
import { traceCommand } from "./trace.js";
import { trainCommand } from "./train.js";
import { verifyCommand } from "./verify.js";

/** Every command, in the order of `mutwo --help`. A command imports what it works with when it runs: help is instant. */
const commands: readonly ((root: Command) => Command)[] = [
  demoCommand,
  inspectCommand,
  profileCommand,
  trainCommand,
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
    // sweep and its own commands have options of the same names
    .enablePositionalOptions()
    // descriptions are wrapped between words on narrow terminals too
    .configureHelp({ minWidthToWrap: 20 })
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
