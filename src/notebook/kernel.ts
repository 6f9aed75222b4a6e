import { type ChildProcess, spawn } from "node:child_process";
import { createHmac, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Dealer, Subscriber } from "zeromq";
import { kernelFile } from "./install.js";

/** A message of Jupyter's protocol, as far as it is used here. */
export interface Message {
  readonly header: { readonly msg_type: string };
  readonly parent_header: { readonly msg_id?: string };
  readonly content: Readonly<Record<string, unknown>>;
}

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

const delimiter = "<IDS|MSG>";

const startMs = 60_000;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A tslab kernel in a process of its own, spoken to by Jupyter's protocol 5.3. */
export class Kernel {
  /** What the kernel says of its language, for a notebook's metadata. */
  languageInfo: unknown;
  private readonly session = randomUUID();
  private readonly waiting = new Map<string, (message: Message, channel: "shell" | "iopub") => void>();
  private readonly exited: Promise<void>;
  private end: string | undefined;
  private log = "";
  private heard = false;

  private constructor(
    private readonly process: ChildProcess,
    private readonly shell: Dealer,
    private readonly iopub: Subscriber,
    private readonly key: string,
    private readonly folder: string,
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
    void this.listen(this.shell, "shell");
    void this.listen(this.iopub, "iopub");
  }

  /** Starts a kernel and waits until it answers. Throws `kernel died …`, `kernel did not answer …`, the signal's reason. */
  static async start({ cwd, stay, signal }: KernelOptions): Promise<Kernel> {
    signal?.throwIfAborted();
    const { Dealer, Subscriber } = await import("zeromq");
    const folder = mkdtempSync(path.join(tmpdir(), "mutwo-kernel-"));
    const key = randomUUID();
    // sockets in a private folder: no port to reserve, nothing listens on the network; their paths may have 107 bytes
    const ipc = process.platform !== "win32" && Buffer.byteLength(folder) < 100;
    const ports = ipc ? [1, 2, 3, 4, 5] : await freePorts(5);
    const [shell_port, iopub_port, control_port, stdin_port, hb_port] = ports;
    const transport = ipc ? "ipc" : "tcp";
    const ip = ipc ? path.join(folder, "s") : "127.0.0.1";
    const connection = { transport, ip, shell_port, iopub_port, control_port, stdin_port, hb_port, key };
    const file = path.join(folder, "connection.json");
    writeFileSync(file, JSON.stringify({ ...connection, signature_scheme: "hmac-sha256", kernel_name: "mutwo" }), {
      mode: 0o600,
    });
    const child = spawn(process.execPath, [kernelFile, "kernel", "--config-path", file, ...(stay ? ["--stay"] : [])], {
      cwd,
      // the channel is never written to: the kernel ends when it closes, even if this process was killed
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    const shell = new Dealer({ linger: 0, reconnectInterval: 20 });
    const iopub = new Subscriber({ receiveHighWaterMark: 0, linger: 0, reconnectInterval: 20 });
    iopub.subscribe();
    // tslab binds `${transport}://${ip}:${port}` on both transports
    iopub.connect(`${transport}://${ip}:${iopub_port}`);
    shell.connect(`${transport}://${ip}:${shell_port}`);
    const kernel = new Kernel(child, shell, iopub, key, folder);
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
    while (!this.heard || !this.languageInfo) {
      signal?.throwIfAborted();
      if (this.end) throw this.death();
      if (Date.now() > until) throw new Error(`kernel did not answer within ${startMs} ms: ${kernelFile}`);
      const reply = await this.request("kernel_info_request", {}, { timeoutMs: 500, untilIdle: false }).catch(
        () => undefined,
      );
      this.languageInfo = reply?.content.language_info ?? this.languageInfo;
    }
  }

  private death(): Error {
    const last = this.log.trim().split("\n").at(-1);
    return new Error(`kernel died (${this.end})${last ? `: ${last}` : ""}`);
  }

  private async listen(socket: Dealer | Subscriber, channel: "shell" | "iopub"): Promise<void> {
    try {
      for await (const frames of socket) {
        const at = frames.findIndex((frame) => frame.toString() === delimiter);
        const [signature, ...parts] = frames.slice(at + 1);
        const body = parts.slice(0, 4);
        if (this.sign(body) !== signature?.toString()) continue;
        const [header, parent_header, , content] = body.map((part) => JSON.parse(part.toString()) as unknown);
        const message = { header, parent_header, content } as Message;
        if (channel === "iopub") this.heard = true;
        this.waiting.get(message.parent_header.msg_id ?? "")?.(message, channel);
      }
    } catch (error) {
      // closing a socket ends its loop by an error
      if (!socket.closed) throw error;
    }
  }

  private sign(parts: readonly (Buffer | string)[]): string {
    const hmac = createHmac("sha256", this.key);
    for (const part of parts) hmac.update(part);
    return hmac.digest("hex");
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
    const parts = [header, {}, {}, content].map((part) => JSON.stringify(part));
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
      this.shell.send([delimiter, this.sign(parts), ...parts]).catch(reject);
    });
    return answer.finally(() => {
      for (const clean of cleanup) clean();
    });
  }

  private readonly kill = (): void => {
    if (!this.end) this.process.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
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
    this.shell.close();
    this.iopub.close();
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => net.createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}
