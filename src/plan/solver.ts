import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { ownPath } from "../root.js";
import { temporaryFolder } from "../writing.js";

/** A variable of a program: from 0 to `upper`, without limit if that is absent. */
export interface Column {
  readonly cost: number;
  readonly upper?: number;
  readonly whole?: boolean;
}

/** A row of a program: the sum of its terms is `least` or more. */
export interface Row {
  readonly terms: readonly (readonly [column: number, factor: number])[];
  readonly least: number;
}

/** An integer program: the least sum of the columns' costs is wanted. */
export interface IntegerProgram {
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
}

/** What a solver knows of a program. */
export interface Solved {
  /** `running` where it was stopped before its time limit. */
  readonly status: "optimal" | "infeasible" | "time limit" | "running";
  /** No solution costs less; null where nothing is known. */
  readonly bound: number | null;
  /** Cost and values of the best solution found; null without one. */
  readonly objective: number | null;
  readonly values: readonly number[] | null;
}

/** A program that is being solved in another process. */
export interface Solving {
  /**
   * What is known of it at its end, or after so many ms if that is earlier; the process is over then. undefined if
   * nothing is known, or if the solver is not there.
   */
  collect(waitMs: number): Solved | undefined;
}

/** The script of the process; it is started as it is, from src/, from a built package too. */
const script = ownPath("src", "plan", "highs.cjs");

/** How often is looked whether there is a result, ms. */
const pollMs = 10;

const endings: readonly string[] = ["optimal", "infeasible", "time limit"] satisfies readonly Solved["status"][];

/** Starts to solve a program with HiGHS, in a process beside this one. */
export function startSolve(program: IntegerProgram, timeLimitMs: number): Solving {
  if (!existsSync(script)) return { collect: () => undefined };
  const folder = temporaryFolder(tmpdir(), "mutwo-highs");
  const [programFile, resultFile] = ["program.json", "result.json"].map((name) => path.join(folder, name));
  writeFileSync(programFile as string, JSON.stringify({ ...program, timeLimitMs }));
  const child = spawn(process.execPath, [script, programFile as string, resultFile as string], { stdio: "ignore" });
  child.on("error", () => {}); // no process, no result
  child.unref();
  const stop = (): void => {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  };
  process.once("exit", stop);
  let answer: { readonly solved: Solved | undefined } | undefined;
  const collect = (waitMs: number): Solved | undefined => {
    if (answer) return answer.solved;
    const until = performance.now() + (child.pid === undefined ? 0 : waitMs);
    let text = resultIn(resultFile as string);
    while (performance.now() < until && !isEnd(text)) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pollMs);
      text = resultIn(resultFile as string);
    }
    process.off("exit", stop);
    stop();
    answer = { solved: text && (text.status === "running" || endings.includes(text.status)) ? text : undefined };
    return answer.solved;
  };
  return { collect };
}

/** What the process has written last; undefined before it has. */
const resultIn = (file: string): Solved | undefined =>
  existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Solved) : undefined;

const isEnd = (result: Solved | undefined): boolean => result !== undefined && result.status !== "running";
