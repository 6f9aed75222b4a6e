#!/usr/bin/env node
// Starts tslab 1.0.22 with its known defects repaired (the package is no longer released):
//  1. it sends on ZeroMQ without waiting; after ~500 messages in one tick they are lost, "idle" among them, and the
//     front end hangs: here sends are queued, and the publisher's high-water mark is off;
//  2. a failing cell sends no `error` message (Jupyter then shows "<Error>:"), and "abort" for the protocol's "aborted";
//  3. it resolves types with moduleResolution Node10, blind to `exports` maps: here Bundler;
//  4. the working directory is the notebook's, and nothing outside it can be imported as TypeScript: here it is the
//     nearest ancestor with a package.json (MUTWO_KERNEL_CWD overrides).
"use strict";
const fs = require("node:fs");
const path = require("node:path");

let root = process.env.MUTWO_KERNEL_CWD;
if (!root)
  for (root = process.cwd(); !fs.existsSync(path.join(root, "package.json")) && path.dirname(root) !== root; )
    root = path.dirname(root);
if (fs.existsSync(path.join(root, "package.json")) || process.env.MUTWO_KERNEL_CWD) process.chdir(root);

const tslabDir = path.dirname(require.resolve("tslab/package.json"));
const fromTslab = require("node:module").createRequire(path.join(tslabDir, "package.json"));

// 1. queue sends
const zmqPath = fromTslab.resolve("zeromq");
const zmq = require(zmqPath);
const queues = new WeakMap(); // zeromq's sockets are not extensible
const queued = (Base, options) =>
  class extends Base {
    constructor(o) {
      super({ ...o, ...options });
    }
    send(parts) {
      const next = (queues.get(this) ?? Promise.resolve()).then(() => super.send(parts)).catch(() => {}); // a peer that left
      queues.set(this, next);
      return next;
    }
    close() {
      (queues.get(this) ?? Promise.resolve()).then(() => super.close());
    }
  };
require.cache[zmqPath].exports = {
  ...zmq,
  __esModule: true,
  Publisher: queued(zmq.Publisher, { sendHighWaterMark: 0 }),
  Router: queued(zmq.Router, {}),
};

// 3. module resolution
const tsPath = fromTslab.resolve("@tslab/typescript-for-tslab");
const ts = require(tsPath);
require.cache[tsPath].exports = {
  // its own properties are getters, so copy
  ...ts,
  createWatchCompilerHost: (files, options, ...rest) =>
    ts.createWatchCompilerHost(
      files,
      {
        ...options,
        moduleResolution: ts.ModuleResolutionKind.Bundler,
        lib: ["lib.es2023.d.ts"], // tslab gives es2022 (toSorted and the like are not in TypeScript 5.0 at all: cast to any)
      },
      ...rest,
    ),
};

const { createConverter } = require(path.join(tslabDir, "dist/converter.js"));
const { createExecutor } = require(path.join(tslabDir, "dist/executor.js"));
const { ZmqServer, JupyterHandlerImpl } = require(path.join(tslabDir, "dist/jupyter.js"));

const isJS = process.argv.includes("--js");
const configPath = process.argv[process.argv.indexOf("--config-path") + 1];
const convs = {
  get node() {
    this._node ??= createConverter({ isJS, isBrowser: false });
    return this._node;
  },
  get browser() {
    this._browser ??= createConverter({ isJS, isBrowser: true });
    return this._browser;
  },
  close() {
    this._node?.close();
    this._browser?.close();
  },
};
convs.node; // warm up

// 2. errors
let lastError = null;
const util = require("node:util");
const clean = (stack) =>
  stack
    .split("\n")
    .filter((l) => !/node_modules\/tslab\/|kernel\.cjs|node:vm:|sigintHandlersWrap|Script\.runInThisContext/.test(l))
    .join("\n");
const executor = createExecutor(process.cwd(), convs, {
  log: console.log,
  error: (...args) => {
    if (args.length === 1) {
      // a value thrown by the cell
      const e = args[0];
      const isErr = e instanceof Error || (e && typeof e.stack === "string");
      lastError = {
        ename: isErr ? e.name : "Thrown",
        evalue: isErr ? e.message : util.inspect(e),
        traceback: clean(isErr ? e.stack : util.inspect(e)).split("\n"),
      };
    } else {
      // a compiler diagnostic
      const text = util.format(...args);
      if (lastError?.ename === "TypeScriptError") {
        lastError.evalue += "\n" + text;
        lastError.traceback.push(text);
      } else lastError = { ename: "TypeScriptError", evalue: text, traceback: [text] };
    }
  },
});

class Server extends ZmqServer {
  async handleExecute(sock, msg) {
    const pub = (type, content) => {
      const r = msg.createReply();
      r.header.msg_type = type;
      r.content = content;
      r.signAndSend(this.connInfo.key, this.iopub);
    };
    lastError = null;
    const content = await this.handler.handleExecute(
      msg.content,
      (name, text) => pub("stream", { name, text }),
      (data, update) => pub(update ? "update_display_data" : "display_data", data),
    );
    if (content.status === "abort") content.status = "aborted";
    if (content.status === "error") {
      const err = lastError ?? { ename: "Error", evalue: "", traceback: [] };
      Object.assign(content, err);
      pub("error", err);
    } else if (lastError) console.error(lastError.traceback.join("\n")); // diagnostics of a %module cell
    const reply = msg.createReply();
    reply.header.msg_type = "execute_reply";
    reply.content = content;
    reply.signAndSend(this.connInfo.key, sock);
  }
}

const server = new Server(new JupyterHandlerImpl(executor, isJS), configPath);
process.on("SIGINT", () => executor.interrupt());
process.on("uncaughtException", (e) => console.error("UncaughtException:", e));
process.on("unhandledRejection", (e) => console.error("UnhandledPromiseRejection:", e));
server.init();
