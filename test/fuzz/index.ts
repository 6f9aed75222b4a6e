// Profiles models made wrong until something hurts: npm run fuzz -- [--seconds 60] [--seed 1] [--first 0] [--count N] [--out DIR]
// Prints each failure with the command that runs its mutant, and writes the mutant; the same seed makes the same mutants.
import { mkdirSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { fuzz, report } from "./fuzz.js";

const options = {
  seconds: { type: "string", default: "60" },
  seed: { type: "string", default: "1" },
  first: { type: "string", default: "0" },
  count: { type: "string", default: "Infinity" },
  out: { type: "string", default: path.join(os.tmpdir(), "mutwo-fuzz") },
} as const;

async function main(): Promise<void> {
  const { values } = parseArgs({ options });
  const [seconds, seed, first, count] = [values.seconds, values.seed, values.first, values.count].map(Number);
  mkdirSync(values.out, { recursive: true });
  console.log(`seed ${seed}`);
  const { mutants, refused, trained, failures } = await fuzz({
    seed: seed as number,
    seconds: seconds as number,
    first: first as number,
    count: count as number,
    onFailure: (failure) => console.log(report(failure, values.out)),
  });
  const kinds = new Map<string, number>();
  for (const { kind } of failures) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  for (const [kind, times] of [...kinds].sort((a, z) => z[1] - a[1])) console.log(`${times} × ${kind}`);
  console.log(`${mutants} mutants: ${refused} refused, ${trained} trained, ${failures.length} failed`);
  process.exitCode = failures.length ? 1 : 0;
}

void main().catch((error: Error) => {
  process.stderr.write(`fuzz: ${error.message.split("\n")[0]}\n`);
  process.exitCode = 2;
});
