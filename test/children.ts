import { type ChildProcess, fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { at } from "./at.js";

/** What came of a task: what the child answered, or how it ended instead. */
export type Outcome<Value> =
  | { readonly kind: "answer"; readonly value: Value }
  | { readonly kind: "crashed"; readonly how: string }
  | { readonly kind: "late" };

/** What the pool needs to know. */
export interface PoolOptions {
  /** How many children work at the same time; default 2. */
  readonly children?: number;
  /**
   * Longest time for one task, ms; the child is killed then. A child that had less time on a processor than that, as on a
   * machine that does much else, has `patience` times as long.
   */
  readonly limitMs: number;
  /** No task begins after that, ms since the call; default: all tasks are done. */
  readonly untilMs?: number;
}

/** How much longer a child may take that waits for a processor. */
const patience = 6;

/** Time that a process had on processors, ms; NaN where the system does not say. */
function processorMs(pid: number | undefined): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return 10 * (Number(fields[11]) + Number(fields[12]));
  } catch {
    return Number.NaN;
  }
}

/** Characters of a child's stderr that are told of a crash. */
const told = 2000;

/**
 * Has tasks done by child processes that load their sources once, each one task at a time: a child that crashes or takes too
 * long counts for its task alone, and another takes its place. `script` is a file of test/ that answers each message by one.
 */
export async function inChildren<Task, Value>(
  script: string,
  tasks: Iterable<Task>,
  { children = 2, limitMs, untilMs = Number.POSITIVE_INFINITY }: PoolOptions,
  onOutcome: (task: Task, outcome: Outcome<Value>) => void,
): Promise<void> {
  const began = performance.now();
  const left = tasks[Symbol.iterator]();
  const work = async (): Promise<void> => {
    let child: Child<Task, Value> | undefined;
    for (;;) {
      if (performance.now() - began > untilMs) break;
      const { done, value: task } = left.next();
      if (done) break;
      child ??= await startChild<Task, Value>(script);
      const outcome = await child.does(task, limitMs);
      if (outcome.kind !== "answer") child = undefined;
      onOutcome(task, outcome);
    }
    child?.end();
  };
  await Promise.all(Array.from({ length: children }, work));
}

interface Child<Task, Value> {
  does(task: Task, limitMs: number): Promise<Outcome<Value>>;
  end(): void;
}

/** Starts a child and waits until it has loaded its sources, which it says by its first message. */
async function startChild<Task, Value>(script: string): Promise<Child<Task, Value>> {
  const child = fork(at(script), {
    execArgv: ["--import", "tsx"],
    serialization: "advanced",
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    env: { ...process.env, ORT_DISABLE_TELEMETRY: "1" },
  });
  let said = "";
  child.stderr?.on("data", (text: Buffer) => {
    said = `${said}${text.toString("utf8")}`.slice(-told);
  });
  const first = await answerOf<unknown>(child, 120_000);
  if (first.kind !== "answer") throw new Error(`${script} does not start: ${said}`);
  return {
    async does(task, limitMs) {
      const answer = answerOf<Value>(child, limitMs);
      child.send(task as object);
      const outcome = await answer;
      return outcome.kind === "crashed" ? { kind: "crashed", how: `${outcome.how}${said && `: ${said}`}` } : outcome;
    },
    end: () => void child.kill(),
  };
}

/** The child's next message, or how it ended; it is killed if there is none in time. */
function answerOf<Value>(child: ChildProcess, limitMs: number): Promise<Outcome<Value>> {
  return new Promise((resolve) => {
    const settle = (outcome: Outcome<Value>): void => {
      clearTimeout(timer);
      child.off("message", onMessage).off("close", onClose).off("error", onError);
      resolve(outcome);
    };
    const onMessage = (value: unknown): void => settle({ kind: "answer", value: value as Value });
    const onClose = (code: number | null, signal: string | null): void =>
      settle({ kind: "crashed", how: signal ?? `exit status ${code}` });
    const onError = (error: Error): void => settle({ kind: "crashed", how: error.message });
    const before = processorMs(child.pid);
    let waits = 0;
    const expire = (): void => {
      if (processorMs(child.pid) - before < limitMs && ++waits < patience) {
        timer = setTimeout(expire, limitMs);
        return;
      }
      child.off("close", onClose);
      child.kill("SIGKILL");
      settle({ kind: "late" });
    };
    let timer = setTimeout(expire, limitMs);
    child.on("message", onMessage).on("close", onClose).on("error", onError);
  });
}

/** Makes the process a child of `inChildren` that does each task so. */
export function serve<Task, Value>(does: (task: Task) => Promise<Value>): void {
  process.on("message", async (task: Task) => void process.send?.((await does(task)) as object));
  process.send?.("ready");
}
