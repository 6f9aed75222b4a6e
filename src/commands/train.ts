import path from "node:path";
import type { Command } from "commander";
import { WrongOptions } from "../run/option-checks.js";
import { optionGroups } from "../run/option-kinds.js";
import type { OptionsOf } from "../run/options.js";
import type { TrainedModel } from "../train/train.js";
import type { Training } from "../train/training.js";
import { withOptions } from "./options.js";
import { Interrupted, interruptible, printJson } from "./process.js";
import { complain } from "./terminal.js";

interface TrainFlags {
  readonly pictures: boolean;
  readonly json?: boolean;
}

/** `mutwo train`: trains a model on data, within a memory budget if there is one. */
export const trainCommand = (root: Command): Command => {
  const command = root
    .command("train <model> [others...]")
    .description(
      "train a model on data, or several in one step, with --budget within that memory; writes the trained model and a report",
    );
  return withOptions(command, "train", train, (_: TrainFlags, options) => checkTogether(command.args[0] ?? "", options))
    .optionsGroup(optionGroups.output)
    .option("--no-pictures", "leave out the report's PDF (no browser needed)")
    .option("--json", "print one JSON object on stdout and nothing else");
};

/** Throws `WrongOptions` with all that is wrong with the options beside each other. */
function checkTogether(model: string, options: OptionsOf<"train">): void {
  const { wrongTogether } = require("../train/train.js") as typeof import("../train/train.js");
  const wrong = wrongTogether(model, options);
  if (wrong.length) throw new WrongOptions(wrong);
}

export async function train(model: string, options: OptionsOf<"train">, flags: TrainFlags): Promise<void> {
  const { trainModel } = await import("../train/train.js");
  const { epochLine, newsTeller } = await import("./training-lines.js");
  const { progressBar } = await import("./progress.js");
  const bar = progressBar(process.stderr);
  const tell = newsTeller();
  const signal = interruptible();
  let trained: TrainedModel;
  try {
    trained = await trainModel(model, {
      ...options,
      signal,
      onProgress: bar.update,
      onStep: (news, model) => bar.update("train", news.step, news.steps, tell(news, model)),
      onValidation: (done, total) => bar.update("validate", done, total, { note: "" }),
      onEpoch: (row, model) => bar.say(epochLine(row, options.epochs, model)),
      onWarning: bar.say,
    });
    const report = options.report === false ? undefined : await writeReport(trained, options, flags, bar);
    bar.stop();
    await end(trained.training, report, flags);
  } finally {
    bar.stop();
  }
}

/** Writes the training's folder, unless it was interrupted: whoever presses Ctrl-C does not wait for pictures. */
async function writeReport(
  { training, run }: TrainedModel,
  options: OptionsOf<"train">,
  { pictures }: TrainFlags,
  bar: { readonly update: (stage: string, done: number, total: number) => void },
): Promise<string | undefined> {
  const { endOf } = await import("../train/training.js");
  if (endOf(training)?.reason === "interrupted") return undefined;
  const { writeTraining } = await import("../report/write-training.js");
  bar.update("write report", 0, 1);
  const { folder } = await writeTraining(training, run, { folder: options.reports ?? "reports", pictures });
  return path.join(folder, "report.html");
}

/** Says how the training ended; the exit status is 130 if it was interrupted, 1 if its loss was not finite, of several models that of each. */
async function end(training: Training, report: string | undefined, flags: TrainFlags): Promise<void> {
  const { trainingJson, trainingLines } = await import("./training-lines.js");
  const { endOf } = await import("../train/training.js");
  const { goOn } = training;
  if (flags.json) printJson(trainingJson(training, report));
  else for (const line of trainingLines(training, report)) process.stdout.write(`${line}\n`);
  const { reason, text } = endOf(training) ?? { reason: "finished", text: "" };
  if (reason === "interrupted") {
    complain(`${text}; go on: ${goOn}`);
    process.exitCode = Interrupted.exitStatus;
  } else if (reason === "not finite") {
    complain(text);
    process.exitCode = 1;
  }
}
