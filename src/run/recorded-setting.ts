import { existsSync } from "node:fs";
import path from "node:path";
import { recordingOf } from "../runtime/backends.js";
import { type RecordedSetting, readRecording } from "../runtime/recording.js";
import { commandOf } from "./option-forms.js";
import type { OptionsOf } from "./options.js";

/** What goes wrong where a step is not the one that was recorded. */
const mismatches = /^(not in the recording|no kernel|unbound dimension|unknown dimension)/;

/**
 * An error of a run that was to be answered from a recording: one that comes from another step than the recorded one says,
 * if the recording does, which it was made with, as the command that replays it. Any other error as it is.
 */
export function withSetting(error: Error, file: string, backend: string | undefined): Error {
  const recording = recordingOf(backend ?? "");
  if (recording === undefined || !mismatches.test(error.message)) return error;
  const { setting } = readRecording(recording);
  if (!setting) return error;
  return new Error(`${error.message}; the recording is of: ${replayCommand(setting, file, recording)}`, {
    cause: error,
  });
}

/** The command that replays a recording: of `file` if it has the recorded model's name, else of a model beside the recording, else as it was. */
function replayCommand({ model, options }: RecordedSetting, file: string, recording: string): string {
  const name = path.basename(model);
  const beside = path.join(path.dirname(recording), name);
  const place = path.basename(file) === name ? file : existsSync(beside) ? beside : model;
  return commandOf("profile", place, { ...options, backend: `replay:${recording}` } as OptionsOf<"profile">);
}
