// What claims of speed rest on: npm run bench [-- --save] [--compare [COMMIT]] [--fit] [MODEL.onnx …]
// Prints a JSON line a figure; --save adds them as one line to history.jsonl; --compare prints them beside a saved line.
// --fit prints the efficiencies of efficiency.ts as the recordings give them, and measures nothing.

import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { fit, recordedSteps } from "./fit.js";
import { comparison, type Figure, here, save, saved } from "./history.js";
import { measure } from "./measures.js";

const options = { save: { type: "boolean" }, compare: { type: "boolean" }, fit: { type: "boolean" } } as const;

async function main(): Promise<void> {
  const { values: flags, positionals } = parseArgs({ options, allowPositionals: true });
  if (flags.fit) {
    process.stdout.write(`${JSON.stringify(fit(await recordedSteps()), null, 2)}\n`);
    return;
  }
  const models = positionals.filter(existsSync);
  const [commit, ...rest] = positionals.filter((word) => !models.includes(word));
  if (rest.length > 0 || (commit !== undefined && !flags.compare))
    throw new Error(`no such model: ${rest[0] ?? commit}`);
  const then = flags.compare ? saved(commit) : undefined;
  const place = here();
  const figures: Record<string, Figure> = {};
  await measure((name, figure) => {
    figures[name] = figure;
    const line = `${JSON.stringify({ name, ...figure })}\n`;
    if (then) process.stderr.write(line);
    else process.stdout.write(line);
  }, models);
  const now = { ...place, figures };
  if (then) process.stdout.write(`${comparison(then, now)}\n`);
  if (flags.save) save(now);
}

void main().catch((error: Error) => {
  process.stderr.write(`bench: ${error.message.split("\n")[0]}\n`);
  process.exitCode = 2;
});
