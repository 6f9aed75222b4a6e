import { readText } from "../files.js";
import { problemIn, shown } from "../schema.js";
import { type Run, runFile, runFormatVersion, type Warning } from "./run.js";
import { contradictionIn } from "./run-checks.js";
import { runSchema, type SavedRun } from "./run-schema.js";

/**
 * Reads and checks a run.json, or the one in a run's folder. Throws one line that says what is wrong: no such file, not
 * JSON (truncated), not a mutwo run, another format version, a field that is missing or not what it should be, or parts
 * that do not fit each other.
 */
export function readRun(place: string): Run {
  const file = runFile(place);
  const text = readText("run", file);
  let saved: SavedRun;
  try {
    saved = JSON.parse(text) as SavedRun;
  } catch (error) {
    throw new Error(`run is not JSON or is truncated: ${file}`, { cause: error });
  }
  if (saved?.format !== "mutwo-run") throw new Error(`not a mutwo run: ${file}`);
  if (saved.version !== runFormatVersion)
    throw new Error(`run has format version ${shown(saved.version)}, this mutwo reads ${runFormatVersion}: ${file}`);
  const problem = problemIn(runSchema, saved);
  if (problem !== undefined) throw new Error(`run is damaged: ${problem} (${file})`);
  const run: Run = { ...saved, warnings: saved.warnings.map((warning) => withKind(asWarning(warning))) };
  const contradiction = contradictionIn(run);
  if (contradiction !== undefined) throw new Error(`run contradicts itself: ${contradiction} (${file})`);
  return run;
}

/** A warning of a run.json from before warnings had kinds. */
const withKind = (warning: Warning): Warning =>
  /^replayed from a recording/.test(warning.text) ? { ...warning, kind: "replayed" } : warning;

/** A warning of a run.json that may hold plain sentences. */
function asWarning(text: Warning | string): Warning {
  if (typeof text !== "string") return text;
  if (/^replayed /.test(text)) return { about: "run", text };
  if (/\bplanned step\b/.test(text)) return { about: "planned", text };
  return { about: /\bunplanned step\b/.test(text) ? "unplanned" : "run", text };
}
