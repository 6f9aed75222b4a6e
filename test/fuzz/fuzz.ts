import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { inChildren } from "../children.js";
import type { Fate } from "./child.js";
import { type Mutant, mutantOf } from "./mutate.js";
import { seeds } from "./seeds.js";

/** Longest time of a mutant, s. */
const limitSeconds = 10;

/** A mutant that hurts. */
export interface Failure {
  /** What happened, the same words for the same kind. */
  readonly kind: string;
  readonly what: string;
  readonly mutant: Mutant;
}

/** What came of a run. */
export interface Fuzzed {
  readonly mutants: number;
  readonly refused: number;
  readonly trained: number;
  readonly failures: readonly Failure[];
}

/** What is wrong with what came of a mutant; nothing if it was refused well or trains. */
function failureOf(mutant: Mutant, outcome: { kind: string; how?: string; value?: Fate }): Failure | undefined {
  const { kind, how = "", value } = outcome;
  if (kind === "late") return { kind: `over ${limitSeconds} s`, what: "", mutant };
  if (kind === "crashed") return { kind: how.split(":")[0] as string, what: how.slice(0, 600), mutant };
  if (!value?.problem) return undefined;
  const where =
    value.stack
      .split("\n")
      .find((line) => line.includes("/src/"))
      ?.trim() ?? "";
  return { kind: value.problem, what: `${value.message.slice(0, 300)} ${where}`, mutant };
}

/** Profiles the mutants from number `first` on in child processes until the time is over, or so many are done. */
export async function fuzz(options: {
  readonly seed: number;
  readonly seconds?: number;
  readonly first?: number;
  readonly count?: number;
  readonly onFailure?: (failure: Failure) => void;
}): Promise<Fuzzed> {
  const { seed, seconds = Number.POSITIVE_INFINITY, first = 0, count = Number.POSITIVE_INFINITY } = options;
  const all = seeds();
  const folder = mkdtempSync(path.join(os.tmpdir(), "mutwo-fuzz-"));
  const failures: Failure[] = [];
  let [mutants, refused] = [0, 0];
  function* tasks() {
    for (let i = first; i < first + count; i++)
      yield { mutant: mutantOf(all, seed, i), file: path.join(folder, `${i}.onnx`) };
  }
  const limits = { limitMs: 1000 * limitSeconds, untilMs: 1000 * seconds };
  try {
    await inChildren<{ mutant: Mutant; file: string }, Fate>(
      "fuzz/child.ts",
      tasks(),
      limits,
      ({ mutant }, outcome) => {
        mutants++;
        if (outcome.kind === "answer" && outcome.value.message) refused++;
        const failure = failureOf(mutant, outcome);
        if (!failure) return;
        failures.push(failure);
        options.onFailure?.(failure);
      },
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
  return {
    mutants,
    refused,
    trained: mutants - refused - failures.filter(({ kind }) => /^(over|SIG|exit)/.test(kind)).length,
    failures,
  };
}

const words = (options: Mutant["options"]): string =>
  Object.entries(options)
    .flatMap(([name, value]) => {
      if (name !== "dims") return [`--${name} ${value}`];
      return Object.entries(value as object).map(([symbol, size]) => `--dim '${symbol}=${size}'`);
    })
    .join(" ");

/** Writes the mutant and gives the lines that tell of the failure and run it again. */
export function report({ kind, what, mutant }: Failure, folder: string): string {
  const file = path.join(folder, `${mutant.name.split(" ")[0]}.onnx`);
  writeFileSync(file, mutant.bytes);
  const said = JSON.stringify(what).slice(0, 900);
  return `${kind}: ${mutant.name}: ${said}\n    mutwo profile ${file} ${words(mutant.options)}`;
}
