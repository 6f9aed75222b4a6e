/** Prints what `--json` asks for: one object on stdout, and nothing else there. */
export function printJson(object: unknown): void {
  process.stdout.write(`${JSON.stringify(object)}\n`);
}

/** Ctrl-C, or the signal by which another program asks this one to end. */
export class Interrupted extends Error {
  static readonly exitStatus = 130;

  constructor(signal: NodeJS.Signals) {
    super(`interrupted (${signal})`);
  }
}

/** Ends a long command between two nodes on Ctrl-C; a second Ctrl-C ends the process at once. */
export function interruptible(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => controller.abort(new Interrupted(name)));
  return controller.signal;
}
