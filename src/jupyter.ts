import { type ChildProcess, spawn } from "node:child_process";
import { createHmac, randomUUID } from "node:crypto";
import { once } from "node:events";
import { accessSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { homedir, tmpdir } from "node:os";
import path from "node:path";
import type { Dealer, Subscriber } from "zeromq";
import { plotlySource } from "./plotly.js";

/** Where the kernel's launcher lies, seen from src/ and from dist/. */
const kernelFile = path.join(__dirname, "../src/kernel.cjs");

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

/** Jupyter's data folder of this user, by Jupyter's own rules. */
function userDataFolder(): string {
  if (process.env.JUPYTER_DATA_DIR) return process.env.JUPYTER_DATA_DIR;
  if (process.platform === "darwin") return path.join(homedir(), "Library/Jupyter");
  if (process.platform === "win32") return path.join(process.env.APPDATA ?? homedir(), "jupyter");
  return path.join(process.env.XDG_DATA_HOME ?? path.join(homedir(), ".local/share"), "jupyter");
}

/**
 * Registers the TypeScript kernel with Jupyter and returns the path of its kernel.json. Needs no Python. Throws
 * `cannot install kernel (code): …` if the folder is not writable.
 */
export function installKernel(options: { dataDir?: string } = {}): string {
  const folder = path.resolve(options.dataDir ?? userDataFolder(), "kernels/mutwo");
  const file = path.join(folder, "kernel.json");
  const spec = {
    argv: [process.execPath, path.resolve(kernelFile), "kernel", "--config-path", "{connection_file}"],
    display_name: "TypeScript (mutwo)",
    language: "typescript",
  };
  try {
    accessSync(kernelFile);
    mkdirSync(folder, { recursive: true });
    writeFileSync(`${file}.tmp`, `${JSON.stringify(spec, null, 2)}\n`);
    renameSync(`${file}.tmp`, file);
  } catch (error) {
    throw new Error(`cannot install kernel (${(error as NodeJS.ErrnoException).code}): ${folder}`, { cause: error });
  }
  return file;
}

interface TslabJupyter {
  readonly lastWriteDisplayData:
    | ((message: { data: object; metadata: object; transient: object }, update: boolean) => void)
    | null;
}

/**
 * Shows one output in several formats; tslab's own `display` sends one only. The module is looked up where the running
 * kernel has it: another copy of tslab would not be connected to anything.
 */
function display(data: Readonly<Record<string, unknown>>, what: string): void {
  const file = Object.keys(require.cache).find((key) => /[\\/]tslab[\\/]dist[\\/]jupyter\.js$/.test(key));
  const jupyter = file === undefined ? undefined : (require.cache[file]?.exports as TslabJupyter | undefined);
  if (!jupyter?.lastWriteDisplayData) throw new Error(`not in a notebook: ${what}`);
  jupyter.lastWriteDisplayData({ data, metadata: {}, transient: {} }, false);
}

let figures = 0;

/** Plotly for the notebook's page, 1.5 MB. */
const libraryHtml = (): string =>
  // where a page has require.js, Plotly would hand itself to that instead of becoming a global
  "<script>window.mutwoDefine=window.define;window.define=undefined</script>" +
  `<script>${plotlySource()}</script>` +
  "<script>window.define=window.mutwoDefine</script>";

/** A Plotly figure as a plain object. */
interface Figure {
  readonly data: readonly object[];
  readonly layout?: object;
}

/**
 * Shows a Plotly figure below the cell: live where the front end knows Plotly's format, as HTML elsewhere; the first
 * figure of a notebook brings the library for all. Throws `not in a notebook: showFigure`.
 */
export function showFigure(figure: Figure): void {
  // typed arrays would become objects
  const json = JSON.stringify({ data: figure.data, layout: figure.layout ?? {} }, (_, value: unknown) =>
    ArrayBuffer.isView(value) ? Array.from(value as Float64Array) : value,
  );
  const { data, layout } = JSON.parse(json) as { data: object[]; layout: { height?: number } };
  const id = `mutwo-figure-${process.pid}-${figures}`;
  const html =
    `<div id="${id}" style="height:${layout.height ?? 400}px"></div>` +
    `<script>{const {data,layout}=${json.replace(/</g, "\\u003c")};` +
    // pages that load their outputs in any order may not have the library yet
    "const draw=(tries)=>window.Plotly?" +
    `Plotly.newPlot("${id}",data,layout,{responsive:true,displaylogo:false}):tries&&setTimeout(draw,100,tries-1);` +
    "draw(100)}</script>";
  display(
    {
      "application/vnd.plotly.v1+json": { data, layout },
      "text/html": figures === 0 ? libraryHtml() + html : html,
      "text/plain": `Plotly figure: ${data.length} ${data.length === 1 ? "trace" : "traces"}`,
    },
    "showFigure",
  );
  figures++;
}

/** What of a danfo DataFrame is needed to show it. */
interface Frame {
  readonly columns: readonly string[];
  readonly values: unknown;
}

const escapeHtml = (text: string): string => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");

/** Whole numbers (bytes, ranks) stay exact. */
const cellText = (value: unknown): string => {
  if (Number.isNaN(value)) return "";
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
  return Array.isArray(value) ? value.join(", ") : String(value ?? "");
};

/**
 * Shows the first rows of a danfo DataFrame, or of row objects (the first one names the columns), as a table below the
 * cell. Throws `not in a notebook: showTable`.
 */
export function showTable(table: Frame | readonly object[], rowCount = 20): void {
  const isFrame = !Array.isArray(table);
  const columns = isFrame ? (table as Frame).columns : Object.keys((table as readonly object[])[0] ?? {});
  const rows = isFrame
    ? ((table as Frame).values as readonly (readonly unknown[])[])
    : (table as readonly Readonly<Record<string, unknown>>[]).map((row) => columns.map((column) => row[column]));
  const shown = rows.slice(0, rowCount);
  const rest = rows.length > shown.length ? `${rows.length - shown.length} more rows` : "";
  const cell = (value: unknown): string =>
    `<td style="text-align:${typeof value === "number" ? "right" : "left"}">${escapeHtml(cellText(value))}</td>`;
  const head = columns.map((column) => `<th>${escapeHtml(column)}</th>`).join("");
  const body = shown.map((row) => `<tr>${row.map(cell).join("")}</tr>`).join("");
  display(
    {
      "text/html": `<table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table>${rest && `<p>${rest}</p>`}`,
      "text/plain": [
        columns.join("\t"),
        ...shown.map((row) => row.map(cellText).join("\t")),
        ...(rest ? [rest] : []),
      ].join("\n"),
    },
    "showTable",
  );
}
