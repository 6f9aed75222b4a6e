import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import { type Channel, type Connection, type Message, messages, openConnection, send } from "./connection.js";
import { kernelFile } from "./install.js";

interface KernelOptions {
  /** Where the kernel starts; it goes on to the nearest folder above with a package.json. */
  readonly cwd: string;
  /** It stays in `cwd` instead. */
  readonly stay?: boolean;
  readonly signal?: AbortSignal;
}

interface RequestOptions {
  readonly onOutput?: (message: Message) => void;
  readonly timeoutMs: number;
  /** False: the reply is enough, the kernel may still be busy. */
  readonly untilIdle?: boolean;
  readonly signal?: AbortSignal;
}

const startMs = 60_000;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A tslab kernel in a process of its own, spoken to by Jupyter's protocol 5.3. */
export class Kernel {
  /** What the kernel says of its language, for a notebook's metadata. */
  languageInfo: unknown;
  private readonly session = randomUUID();
  private readonly waiting = new Map<string, (message: Message, channel: Channel) => void>();
  private readonly exited: Promise<void>;
  private end: string | undefined;
  private log = "";
  private heard = false;

  private constructor(
    private readonly process: ChildProcess,
    private readonly connection: Connection,
  ) {
    const keepLog = (data: Buffer): void => {
      this.log = (this.log + data.toString()).slice(-4000);
    };
    this.process.stdout?.on("data", keepLog);
    this.process.stderr?.on("data", keepLog);
    this.exited = new Promise((resolve) => {
      const ended = (how: string): void => {
        this.end ??= how;
        resolve();
      };
      this.process.once("error", (error) => ended(error.message));
      this.process.once("exit", (code, signal) => ended(signal ?? `exit status ${code}`));
    });
    process.once("exit", this.kill);
    void this.listen("shell");
    void this.listen("iopub");
  }

  /** Starts a kernel and waits until it answers. Throws `kernel died …`, `kernel did not answer …`, the signal's reason. */
  static async start({ cwd, stay, signal }: KernelOptions): Promise<Kernel> {
    signal?.throwIfAborted();
    const connection = await openConnection();
    const args = [kernelFile, "kernel", "--config-path", connection.file, ...(stay ? ["--stay"] : [])];
    const child = spawn(process.execPath, args, {
      cwd,
      // the channel is never written to: the kernel ends when it closes, even if this process was killed
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    const kernel = new Kernel(child, connection);
    try {
      await kernel.begin(signal);
    } catch (error) {
      await kernel.stop();
      throw error;
    }
    return kernel;
  }

  private async begin(signal?: AbortSignal): Promise<void> {
    const until = Date.now() + startMs;
    // a subscriber joins late: ask again until a message of ours came back on both channels
    // and more patiently each time: on a busy machine an answer may take long
    for (let timeoutMs = 500; !this.heard || !this.languageInfo; timeoutMs = Math.min(1.25 * timeoutMs, startMs)) {
      signal?.throwIfAborted();
      if (this.end) throw this.death();
      if (Date.now() > until) throw this.silence();
      const reply = await this.request("kernel_info_request", {}, { timeoutMs, untilIdle: false }).catch(
        () => undefined,
      );
      this.languageInfo = reply?.content.language_info ?? this.languageInfo;
      // a subscriber that has not joined yet does not by being asked at once
      if (reply && !this.heard) await pause(50);
    }
  }

  /** Why a kernel that is there is taken for lost: what came of it until now. */
  private silence(): Error {
    const heard = [this.languageInfo && "replies", this.heard && "outputs"].filter(Boolean).join(" and ") || "nothing";
    const last = this.log.trim().split("\n").at(-1);
    return new Error(
      `kernel did not answer within ${startMs} ms (${heard} came${last ? `; it said: ${last}` : ""}): ${kernelFile}`,
    );
  }

  private death(): Error {
    const last = this.log.trim().split("\n").at(-1);
    return new Error(`kernel died (${this.end})${last ? `: ${last}` : ""}`);
  }

  private async listen(channel: Channel): Promise<void> {
    for await (const message of messages(this.connection, channel)) {
      if (channel === "iopub") this.heard = true;
      this.waiting.get(message.parent_header.msg_id ?? "")?.(message, channel);
    }
  }

  /**
   * Sends a request and returns its reply, once the kernel is idle again. Throws `kernel died …`, `kernel gave no answer
   * within … ms: …`, the signal's reason.
   */
  async request(type: string, content: object, options: RequestOptions): Promise<Message> {
    const { signal, timeoutMs } = options;
    const id = randomUUID();
    const { session } = this;
    const header = { msg_id: id, msg_type: type, session, username: "mutwo", date: new Date(), version: "5.3" };
    const cleanup: (() => void)[] = [];
    const answer = new Promise<Message>((resolve, reject) => {
      let reply: Message | undefined;
      let idle = options.untilIdle === false;
      this.waiting.set(id, (message, channel) => {
        if (channel === "shell") reply = message;
        else if (message.header.msg_type !== "status") options.onOutput?.(message);
        else if (message.content.execution_state === "idle") idle = true;
        if (reply && idle) resolve(reply);
      });
      const timer = setTimeout(
        () => reject(new Error(`kernel gave no answer within ${timeoutMs} ms: ${type}`)),
        timeoutMs,
      );
      const aborted = (): void => reject(signal?.reason as Error);
      if (signal?.aborted) aborted();
      signal?.addEventListener("abort", aborted);
      void this.exited.then(() => reject(this.death()));
      cleanup.push(
        () => this.waiting.delete(id),
        () => clearTimeout(timer),
        () => signal?.removeEventListener("abort", aborted),
      );
      send(this.connection, header, content).catch(reject);
    });
    return answer.finally(() => {
      for (const clean of cleanup) clean();
    });
  }

  private readonly kill = (): void => {
    if (!this.end) this.process.kill("SIGKILL");
    rmSync(this.connection.folder, { recursive: true, force: true });
  };

  /** Ends the process, by force if it is busy, and removes its sockets. */
  async stop(): Promise<void> {
    if (!this.end) {
      await this.request("shutdown_request", { restart: false }, { timeoutMs: 300, untilIdle: false }).catch(() => {});
      await Promise.race([this.exited, pause(300)]);
    }
    if (!this.end) {
      // gives what the cells started (a browser) the chance to end too
      this.process.kill("SIGTERM");
      await Promise.race([this.exited, pause(1000)]);
    }
    this.kill();
    await this.exited;
    process.removeListener("exit", this.kill);
    this.connection.shell.close();
    this.connection.iopub.close();
  }
}
