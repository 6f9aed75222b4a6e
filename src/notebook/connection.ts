import { createHmac, randomUUID } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Dealer, Subscriber } from "zeromq";
import { temporaryFolder } from "../writing.js";

/** A message of Jupyter's protocol, as far as it is used here. */
export interface Message {
  readonly header: { readonly msg_type: string };
  readonly parent_header: { readonly msg_id?: string };
  readonly content: Readonly<Record<string, unknown>>;
}

/** Replies come on `shell`, outputs and states on `iopub`. */
export type Channel = "shell" | "iopub";

/** Sockets to a kernel that is yet to be started, and the file that tells it of them. */
export interface Connection {
  readonly shell: Dealer;
  readonly iopub: Subscriber;
  /** Signs every message. */
  readonly key: string;
  /** Private folder of the sockets and the file; who opened the connection removes it. */
  readonly folder: string;
  readonly file: string;
}

const delimiter = "<IDS|MSG>";

/** Opens sockets for a kernel, in a private folder where that is possible. */
export async function openConnection(): Promise<Connection> {
  const { Dealer, Subscriber } = await import("zeromq");
  const folder = temporaryFolder(tmpdir(), "mutwo-kernel");
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
  const shell = new Dealer({ linger: 0, reconnectInterval: 20 });
  const iopub = new Subscriber({ receiveHighWaterMark: 0, linger: 0, reconnectInterval: 20 });
  iopub.subscribe();
  // tslab binds `${transport}://${ip}:${port}` on both transports
  iopub.connect(`${transport}://${ip}:${iopub_port}`);
  shell.connect(`${transport}://${ip}:${shell_port}`);
  return { shell, iopub, key, folder, file };
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => net.createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}

function sign(key: string, parts: readonly (Buffer | string)[]): string {
  const hmac = createHmac("sha256", key);
  for (const part of parts) hmac.update(part);
  return hmac.digest("hex");
}

/** Sends a request to the kernel. */
export function send({ shell, key }: Connection, header: object, content: object): Promise<void> {
  const parts = [header, {}, {}, content].map((part) => JSON.stringify(part));
  return shell.send([delimiter, sign(key, parts), ...parts]);
}

/** The messages of a channel that carry the connection's signature, until its socket is closed. */
export async function* messages(connection: Connection, channel: Channel): AsyncGenerator<Message> {
  const socket = connection[channel];
  try {
    for await (const frames of socket as AsyncIterable<Buffer[]>) {
      const at = frames.findIndex((frame) => frame.toString() === delimiter);
      const [signature, ...parts] = frames.slice(at + 1);
      const body = parts.slice(0, 4);
      if (sign(connection.key, body) !== signature?.toString()) continue;
      const [header, parent_header, , content] = body.map((part) => JSON.parse(part.toString()) as unknown);
      yield { header, parent_header, content } as Message;
    }
  } catch (error) {
    // closing a socket ends its loop by an error
    if (!socket.closed) throw error;
  }
}
