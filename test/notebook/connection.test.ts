import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFileSync, rmSync, statSync } from "node:fs";
import { test } from "node:test";
import { type Connection, messages, openConnection, send } from "../../src/notebook/connection.js";

type Frames = readonly (string | Buffer)[];

/** A connection whose shell keeps what is sent, and on whose iopub channel `frames` arrive, then `failure`. */
function scripted(frames: readonly Frames[], failure?: { error: Error; closed: boolean }) {
  const sent: Frames[] = [];
  const iopub = {
    closed: failure?.closed ?? false,
    async *[Symbol.asyncIterator]() {
      for (const one of frames) yield one.map((frame) => Buffer.from(frame));
      if (failure) throw failure.error;
    },
  };
  const shell = { send: async (parts: Frames) => void sent.push(parts) };
  return { sent, connection: { shell, iopub, key: "secret", folder: "", file: "" } as unknown as Connection };
}

const signed = (key: string, parts: readonly object[]): string[] => {
  const texts = parts.map((part) => JSON.stringify(part));
  return ["<IDS|MSG>", createHmac("sha256", key).update(texts.join("")).digest("hex"), ...texts];
};

async function received(connection: Connection) {
  const contents: unknown[] = [];
  for await (const { content } of messages(connection, "iopub")) contents.push(content);
  return contents;
}

test("send(connection, header, content) sends four parts behind their signature", async () => {
  const { sent, connection } = scripted([]);
  await send(connection, { msg_type: "execute_request" }, { code: "1" });
  assert.deepEqual(sent, [signed("secret", [{ msg_type: "execute_request" }, {}, {}, { code: "1" }])]);
});

test("messages(connection, channel) leaves out what another key has signed, and what stands before the delimiter", async () => {
  const parts = (n: number) => [{ msg_type: "stream" }, {}, {}, { n }];
  const { connection } = scripted([
    ["topic", "identity", ...signed("secret", parts(1))],
    signed("other", parts(2)),
    [...signed("secret", parts(3)), "a buffer"],
  ]);
  assert.deepEqual(await received(connection), [{ n: 1 }, { n: 3 }]);
});

test("messages(connection, channel) ends when the socket is closed, and throws any other fault", async () => {
  const error = new Error("the socket failed");
  assert.deepEqual(await received(scripted([], { error, closed: true }).connection), []);
  await assert.rejects(received(scripted([], { error, closed: false }).connection), error);
});

test("openConnection() writes a file that only its owner may read, with the key and five ports", async () => {
  const { shell, iopub, key, folder, file } = await openConnection();
  try {
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    const { ip, transport, key: written, ...rest } = JSON.parse(readFileSync(file, "utf8"));
    assert.equal(written, key);
    assert.ok(transport === "tcp" || ip.startsWith(folder), "a socket outside of the private folder");
    const ports = Object.keys(rest).filter((name) => name.endsWith("_port"));
    assert.equal(new Set(ports.map((name) => rest[name])).size, 5);
  } finally {
    shell.close();
    iopub.close();
    rmSync(folder, { recursive: true });
  }
});
