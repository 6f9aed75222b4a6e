#!/usr/bin/env node
import { writeFileSync } from "node:fs";
import { CommanderError } from "commander";
import { Interrupted } from "./commands/process.js";
import { program } from "./commands/program.js";
import { complain, withoutColour } from "./commands/terminal.js";
import { WrongOptions } from "./run/option-checks.js";

/**
 * A reader that has had enough (`mutwo show … | head -1`) ends a command quietly; what else stdout cannot take (a full
 * disk) is said. What stderr cannot take is not: nobody would read it.
 */
function endWithOutput(): void {
  process.stderr.on("error", () => {});
  process.stdout.on("error", ({ code }: NodeJS.ErrnoException) => {
    if (code === "EPIPE") process.exit();
    complain(code === "ENOSPC" ? "cannot write to stdout: disk full" : `cannot write to stdout: ${code}`);
    process.exit(2);
  });
}

/** Runs a command line; an error becomes a line on stderr, all that is wrong with options a line each: exit status 2. */
async function main(argv: readonly string[]): Promise<void> {
  endWithOutput();
  try {
    await program().parseAsync(withoutColour(argv));
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode !== 0) process.exitCode = 2;
      return; // commander has printed its line
    }
    const { messageLine } = await import("./graph/message.js");
    const { message, stack } = error as Error;
    const lines = error instanceof WrongOptions ? error.problems : [message];
    for (const line of lines) complain(messageLine(line));
    if (process.env.MUTWO_STACK) writeFileSync(2, `${stack}\n`);
    process.exitCode = error instanceof Interrupted ? Interrupted.exitStatus : 2;
  }
}

void main(process.argv);
