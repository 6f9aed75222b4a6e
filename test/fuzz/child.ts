// Profiles mutants for test/fuzz/fuzz.ts.
import { rmSync, writeFileSync } from "node:fs";
import { exportRun } from "../../src/export/export-file.js";
import type { ProfileModelOptions } from "../../src/run/options.js";
import { profileModel } from "../../src/run/pipeline.js";
import { serve } from "../children.js";
import { problemOf } from "../message.js";
import type { Mutant } from "./mutate.js";

/** What came of a mutant: its message if it was refused, and what is wrong with that. */
export interface Fate {
  readonly message: string;
  readonly problem: string;
  /** Stack of the message with a problem. */
  readonly stack: string;
}

const plain = { seed: 0, iterations: 1, warmups: 0, threads: 1 } as const;

serve(async ({ mutant, file }: { mutant: Mutant; file: string }): Promise<Fate> => {
  writeFileSync(file, mutant.bytes);
  try {
    const run = await profileModel(file, { ...plain, ...(mutant.options as unknown as ProfileModelOptions) });
    exportRun(run, `${file}.step`);
    return { message: "", problem: "", stack: "" };
  } catch (error) {
    const problem = problemOf(error);
    const { message, stack = "" } = error instanceof Error ? error : { message: String(error) };
    return { message, problem, stack: problem ? stack : "" };
  } finally {
    for (const written of [file, `${file}.step`]) rmSync(written, { force: true });
  }
});
