import { type ChildProcess, spawn } from "node:child_process";
import { createHmac, randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Dealer, Subscriber } from "zeromq";

/** Where the kernel's launcher lies, seen from src/ and from dist/. */
export const kernelFile = path.join(__dirname, "../src/kernel.cjs");

interface Output {
  output_type: "stream" | "display_data" | "execute_result" | "error";
  name?: string;
  text?: string | string[];
  data?: Record<string, unknown>;
  metadata?: object;
  execution_count?: number | null;
  ename?: string;
  evalue?: string;
  traceback?: string[];
}

interface Cell {
  cell_type: string;
  id?: string;
  source: string | string[];
  metadata: { tags?: string[] };
  outputs?: Output[];
  execution_count?: number | null;
}

interface Notebook {
  cells: Cell[];
  metadata: Record<string, unknown>;
  nbformat: number;
  nbformat_minor: number;
}

interface Message {
  readonly header: { readonly msg_type: string };
  readonly parent_header: { readonly msg_id?: string };
  readonly content: Record<string, unknown> & {
    readonly execution_state?: string;
    readonly status?: string;
    readonly execution_count?: number;
    readonly transient?: { readonly display_id?: string };
  };
}

export interface NotebookOptions {
  /** Where the notebook with its outputs goes; default in place. */
  readonly output?: string;
  /** Values for the cell tagged `parameters`. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** Longest time for one cell, ms; default 30 minutes. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface NotebookResult {
  readonly ok: boolean;
  readonly failedCell: { readonly index: number; readonly message: string } | null;
}

const delimiter = "<IDS|MSG>";

/** A tslab kernel in a process of its own, spoken to by Jupyter's protocol 5.3. */
class Kernel {
  private constructor(
    private readonly process: ChildProcess,
    private readonly shell: Dealer,
    private readonly iopub: Subscriber,
    private readonly key: string,
    private readonly folder: string,
  ) {}

  private readonly session = randomUUID();
  private readonly waiting = new Map<string, (message: Message, channel: "shell" | "iopub") => void>();
  private log = "";
  private dead: string | undefined;
  private exited: Promise<void> = Promise.resolve();
  private heard = false;
  languageInfo: unknown;

  static async start(cwd: string, timeoutMs: number): Promise<Kernel> {
    const { Dealer, Subscriber } = await import("zeromq");
    const folder = mkdtempSync(path.join(tmpdir(), "mutwo-kernel-"));
    const key = randomUUID();
    // sockets in a private folder: no port to reserve, nothing listens on the network
    const ipc = process.platform !== "win32";
    const ports = ipc ? [1, 2, 3, 4, 5] : await freePorts(5);
    const connection = {
      transport: ipc ? "ipc" : "tcp",
      ip: ipc ? path.join(folder, "s") : "127.0.0.1",
      shell_port: ports[0],
      iopub_port: ports[1],
      control_port: ports[2],
      stdin_port: ports[3],
      hb_port: ports[4],
      key,
      signature_scheme: "hmac-sha256",
      kernel_name: "mutwo",
    };
    const file = path.join(folder, "connection.json");
    writeFileSync(file, JSON.stringify(connection), { mode: 0o600 });
    const child = spawn(process.execPath, [kernelFile, "kernel", "--config-path", file], {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const shell = new Dealer({ linger: 0, reconnectInterval: 20 });
    const iopub = new Subscriber({ receiveHighWaterMark: 0, linger: 0, reconnectInterval: 20 });
    iopub.subscribe();
    // tslab binds `${transport}://${ip}:${port}` on both transports
    iopub.connect(`${connection.transport}://${connection.ip}:${ports[1]}`);
    shell.connect(`${connection.transport}://${connection.ip}:${ports[0]}`);
    const kernel = new Kernel(child, shell, iopub, key, folder);
    try {
      await kernel.begin(timeoutMs);
    } catch (error) {
      await kernel.stop();
      throw error;
    }
    return kernel;
  }

  private async begin(timeoutMs: number): Promise<void> {
    const keepLog = (data: Buffer): void => {
      this.log = (this.log + data.toString()).slice(-4000);
    };
    this.process.stdout?.on("data", keepLog);
    this.process.stderr?.on("data", keepLog);
    this.exited = new Promise((resolve) =>
      this.process.once("exit", (code, signal) => {
        this.dead = `${signal ?? `exit status ${code}`}`;
        resolve();
      }),
    );
    void this.pump(this.shell, "shell");
    void this.pump(this.iopub, "iopub");
    const until = Date.now() + timeoutMs;
    // a subscriber joins late: ask again until a message of ours came back on both channels
    while (!this.heard || !this.languageInfo) {
      if (this.dead)
        throw new Error(`kernel died while starting (${this.dead}): ${this.log.trim().split("\n").at(-1) ?? ""}`);
      if (Date.now() > until) throw new Error("kernel did not answer");
      const reply = await this.request("kernel_info_request", {}, { timeoutMs: 500, untilIdle: false }).catch(
        () => undefined,
      );
      this.languageInfo = reply?.content.language_info ?? this.languageInfo;
    }
  }

  private async pump(socket: Dealer | Subscriber, channel: "shell" | "iopub"): Promise<void> {
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
    } catch {
      // the socket was closed
    }
  }

  private sign(parts: readonly (Buffer | string)[]): string {
    const hmac = createHmac("sha256", this.key);
    for (const part of parts) hmac.update(part);
    return hmac.digest("hex");
  }

  /** Sends a request and waits for its reply, and for the kernel to be idle again unless told otherwise. */
  async request(
    type: string,
    content: object,
    options: { onIopub?: (message: Message) => void; timeoutMs: number; untilIdle?: boolean; signal?: AbortSignal },
  ): Promise<Message> {
    const id = randomUUID();
    const header = {
      msg_id: id,
      msg_type: type,
      session: this.session,
      username: "mutwo",
      date: new Date().toISOString(),
      version: "5.3",
    };
    const parts = [header, {}, {}, content].map((part) => JSON.stringify(part));
    const answered = new Promise<Message>((resolve) => {
      let reply: Message | undefined;
      let idle = options.untilIdle === false;
      this.waiting.set(id, (message, channel) => {
        if (channel === "shell") reply = message;
        else if (message.header.msg_type !== "status") options.onIopub?.(message);
        else if (message.content.execution_state === "idle") idle = true;
        if (reply && idle) resolve(reply);
      });
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`no answer to ${type} within ${options.timeoutMs} ms`)),
        options.timeoutMs,
      );
    });
    const died = this.exited.then((): never => {
      throw new Error(`kernel died (${this.dead}): ${this.log.trim().split("\n").at(-1) ?? ""}`);
    });
    const stopped = new Promise<never>((_, reject) => {
      const { signal } = options;
      if (signal?.aborted) reject(signal.reason as Error);
      signal?.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
    try {
      await this.shell.send([delimiter, this.sign(parts), ...parts]);
      return await Promise.race([answered, late, died, stopped]);
    } finally {
      clearTimeout(timer);
      this.waiting.delete(id);
    }
  }

  async stop(): Promise<void> {
    if (!this.dead) {
      await this.request("shutdown_request", { restart: false }, { timeoutMs: 500, untilIdle: false }).catch(
        () => undefined,
      );
      await Promise.race([this.exited, new Promise((resolve) => setTimeout(resolve, 500))]);
      if (!this.dead) this.process.kill("SIGKILL");
      await this.exited;
    }
    this.shell.close();
    this.iopub.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<net.Server>((resolve) => {
          const server = net.createServer().listen(0, "127.0.0.1", () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

const sourceOf = (cell: Cell): string => (Array.isArray(cell.source) ? cell.source.join("") : cell.source);

/** Throws `cannot read notebook: …` or `not a notebook: …`. */
function readNotebook(file: string): Notebook {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new Error(`cannot read notebook: ${file} (${(error as NodeJS.ErrnoException).code})`, { cause: error });
  }
  let notebook: Notebook;
  try {
    notebook = JSON.parse(text) as Notebook;
  } catch (error) {
    throw new Error(`not a notebook: ${file}`, { cause: error });
  }
  if (!Array.isArray(notebook?.cells) || !(notebook.nbformat >= 4))
    throw new Error(`not a notebook: ${file} (nbformat 4 or newer is needed)`);
  return notebook;
}

/** Puts a cell with the given values after the one tagged `parameters`. Throws for a name that that cell does not declare. */
function injectParameters(notebook: Notebook, parameters: Readonly<Record<string, string>>): void {
  const names = Object.keys(parameters);
  if (names.length === 0) return;
  const at = notebook.cells.findIndex((cell) => cell.metadata.tags?.includes("parameters"));
  const declaring = notebook.cells[at];
  if (!declaring) throw new Error(`no cell is tagged parameters: ${names[0]}`);
  for (const name of names)
    if (!new RegExp(`\\b(let|var|const)\\s+${name.replace(/\W/g, "\\$&")}\\b`).test(sourceOf(declaring)))
      throw new Error(`unknown parameter: ${name}`);
  const literal = (text: string): string =>
    /^(true|false|-?\d+(\.\d+)?(e[+-]?\d+)?)$/i.test(text) ? text : JSON.stringify(text);
  const injected: Cell = {
    cell_type: "code",
    id: "injected-parameters",
    metadata: { tags: ["injected-parameters"] },
    source: names.map((name) => `${name} = ${literal(parameters[name] as string)};`).join("\n"),
    outputs: [],
    execution_count: null,
  };
  const old = notebook.cells.findIndex((cell) => cell.metadata.tags?.includes("injected-parameters"));
  if (old >= 0) notebook.cells.splice(old, 1);
  notebook.cells.splice(at + 1, 0, injected);
}

/** Adds a message to a cell's outputs, as nbformat 4 wants it. */
function collect(cell: Cell, displays: Map<string, Output>, { header, content }: Message): void {
  const outputs = cell.outputs as Output[];
  const fields = content as unknown as Output & { transient?: { display_id?: string } };
  const id = content.transient?.display_id;
  switch (header.msg_type) {
    case "stream": {
      const last = outputs.at(-1);
      if (last?.output_type === "stream" && last.name === fields.name) last.text = `${last.text}${fields.text}`;
      else outputs.push({ output_type: "stream", name: fields.name ?? "stdout", text: `${fields.text}` });
      return;
    }
    case "display_data": {
      const output: Output = { output_type: "display_data", data: fields.data ?? {}, metadata: fields.metadata ?? {} };
      if (id) displays.set(id, output);
      outputs.push(output);
      return;
    }
    case "update_display_data": {
      const output = displays.get(id ?? "");
      if (output) Object.assign(output, { data: fields.data ?? {}, metadata: fields.metadata ?? {} });
      return;
    }
    case "error":
      outputs.push({
        output_type: "error",
        ename: fields.ename ?? "Error",
        evalue: fields.evalue ?? "",
        traceback: fields.traceback ?? [],
      });
  }
}

/** Nearest folder above a file that holds a package.json; the file's own folder if there is none. */
function projectFolder(file: string): string {
  const start = path.dirname(path.resolve(file));
  for (let folder = start; ; folder = path.dirname(folder)) {
    try {
      readFileSync(path.join(folder, "package.json"));
      return folder;
    } catch {
      if (path.dirname(folder) === folder) return start;
    }
  }
}

/**
 * Runs an .ipynb from top to bottom in the tslab kernel and writes it with its outputs, whole or not at all. A failing
 * cell ends the run; what came before it is written. Throws one line for a file that is no notebook, an unknown
 * parameter, a kernel that dies, a cell that takes too long, or the signal's reason.
 */
export async function runNotebook(file: string, options: NotebookOptions = {}): Promise<NotebookResult> {
  const notebook = readNotebook(file);
  injectParameters(notebook, options.parameters ?? {});
  const kernel = await Kernel.start(projectFolder(file), 60_000);
  let failedCell: NotebookResult["failedCell"] = null;
  try {
    const displays = new Map<string, Output>();
    for (const [index, cell] of notebook.cells.entries()) {
      if (cell.cell_type !== "code") continue;
      cell.outputs = [];
      cell.execution_count = null;
      const code = sourceOf(cell);
      if (!code.trim() || failedCell) continue;
      const { content } = await kernel.request(
        "execute_request",
        { code, silent: false, store_history: true, user_expressions: {}, allow_stdin: false, stop_on_error: true },
        {
          onIopub: (message) => collect(cell, displays, message),
          timeoutMs: options.timeoutMs ?? 1_800_000,
          ...(options.signal ? { signal: options.signal } : {}),
        },
      );
      cell.execution_count = content.execution_count ?? null;
      for (const output of cell.outputs)
        if (typeof output.text === "string") output.text = output.text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
      if (content.status !== "ok") failedCell = { index, message: String(content.evalue ?? content.status) };
    }
    notebook.metadata.language_info = kernel.languageInfo;
  } finally {
    await kernel.stop();
  }
  const output = options.output ?? file;
  const temporary = `${output}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, `${JSON.stringify(notebook, null, 1)}\n`);
    renameSync(temporary, output);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new Error(`cannot write notebook: ${output} (${(error as NodeJS.ErrnoException).code})`, { cause: error });
  }
  return { ok: failedCell === null, failedCell };
}
