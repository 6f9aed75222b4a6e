import { inOneLine } from "../graph/message.js";
import { openRuntime } from "../runtime/open.js";
import { encodeRecording, recordingRuntime } from "../runtime/recording.js";
import { writeWhole } from "../writing.js";
import { buildStep } from "./build-step.js";
import { checkFileWritable } from "./folder.js";
import { checkOptions } from "./option-checks.js";
import { modelOptions, withDefaults } from "./option-forms.js";
import type { ProfileModelOptions } from "./options.js";
import { profileBuilt } from "./profile-built.js";
import { profileMany } from "./profile-many.js";
import { withSetting } from "./recorded-setting.js";
import type { Run } from "./run.js";
import { asksForMany } from "./trials.js";

/**
 * The whole path: reads the model, builds its training step, profiles it, plans for the budget, executes the plan and
 * compares. Writes nothing. Throws one line for wrong use or bad input; an infeasible budget is an answer, not an error.
 */
export async function profileModel(file: string, options: ProfileModelOptions): Promise<Run> {
  checkOptions("profile", options);
  if (options.record !== undefined) checkFileWritable("recording", options.record, [file]);
  try {
    return await profileChecked(file, options);
  } catch (error) {
    throw withSetting(inOneLine(error), file, options.backend);
  }
}

async function profileChecked(file: string, options: ProfileModelOptions): Promise<Run> {
  const settled = withDefaults(options);
  const opened = openRuntime(settled.backend, options);
  const recorder =
    options.record === undefined
      ? undefined
      : recordingRuntime(opened, { model: file, options: modelOptions(settled) });
  const runtime = recorder?.runtime ?? opened;
  try {
    const run = asksForMany(options)
      ? await profileMany(file, runtime, options)
      : await profileBuilt(file, buildStep(file, runtime, options), runtime, options);
    if (recorder && options.record !== undefined) writeWhole(options.record, encodeRecording(recorder.recording()));
    return run;
  } finally {
    runtime.close();
  }
}
