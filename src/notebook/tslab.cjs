#!/usr/bin/env node
// Starts tslab 1.0.22 with its known defects repaired (the package is no longer released):
//  1. it sends on ZeroMQ without waiting; after ~500 messages in one tick they are lost, "idle" among them, and the
//     front end hangs: here sends are queued, and the publisher's high-water mark is off;
//  2. a failing cell sends no `error` message (Jupyter then shows "<Error>:"), and "abort" for the protocol's "aborted";
//  3. it resolves types with moduleResolution Node10, blind to `exports` maps: here Bundler;
//  4. the working directory is the notebook's, and nothing outside it can be imported as TypeScript: here it is the
//     nearest ancestor with a package.json, unless `--stay` is given;
//  5. `process.stdout.write` forgets its callback, and who waits for that waits for ever;
//  6. it finds no variable of an earlier cell in a shorthand property: after `let batch = 8`, `{ batch }` throws.
"use strict";
const fs = require("node:fs");
const path = require("node:path");

// 4. working directory
let root = process.cwd();
while (!fs.existsSync(path.join(root, "package.json")) && path.dirname(root) !== root) root = path.dirname(root);
if (!process.argv.includes("--stay") && fs.existsSync(path.join(root, "package.json"))) process.chdir(root);

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

const tsPath = fromTslab.resolve("@tslab/typescript-for-tslab");
const ts = require(tsPath);

// 6. shorthand properties: tslab keeps variables in `exports` and asks the checker for an identifier's symbol, which for
// `{ batch }` is the property's; so such ones are written out, `{ batch: exports.batch }`, before it looks
const expandShorthands = (checker) => (context) => {
  const { factory } = context;
  const isEarlier = (declaration) => path.basename(declaration.getSourceFile().fileName) === "__prev__.d.ts";
  const visit = (node) => {
    if (!ts.isShorthandPropertyAssignment(node)) return ts.visitEachChild(node, visit, context);
    if (!checker.getShorthandAssignmentValueSymbol(node)?.declarations?.some(isEarlier))
      return ts.visitEachChild(node, visit, context);
    const variable = factory.createPropertyAccessExpression(factory.createIdentifier("exports"), node.name.text);
    const fallback = ts.visitNode(node.objectAssignmentInitializer, visit); // ({ batch = 8 } = options)
    return factory.createPropertyAssignment(
      node.name.text,
      fallback ? factory.createAssignment(variable, fallback) : variable,
    );
  };
  return (file) => (ts.isSourceFile(file) ? ts.visitEachChild(file, visit, context) : file);
};

require.cache[tsPath].exports = {
  // its own properties are getters, so copy
  ...ts,
  createWatchCompilerHost: (files, options, ...rest) => {
    // 3. module resolution
    const moduleResolution = ts.ModuleResolutionKind.Bundler;
    const host = ts.createWatchCompilerHost(files, { ...options, moduleResolution, lib: ["lib.es2023.d.ts"] }, ...rest);
    const { createProgram } = host;
    host.createProgram = (...program) => {
      const builder = createProgram(...program);
      const { emit } = builder;
      builder.emit = (file, write, token, onlyTypes, transformers) =>
        emit(file, write, token, onlyTypes, {
          ...transformers,
          before: [expandShorthands(builder.getProgram().getTypeChecker())],
        });
      return builder;
    };
    return host;
  },
};

const { createConverter } = require(path.join(tslabDir, "dist/converter.js"));
const { createExecutor } = require(path.join(tslabDir, "dist/executor.js"));
const { ZmqServer, JupyterHandlerImpl } = require(path.join(tslabDir, "dist/jupyter.js"));

const configPath = process.argv[process.argv.indexOf("--config-path") + 1];
const node = createConverter({ isJS: false, isBrowser: false });
let browser; // only cells marked as such need it
const converters = {
  node,
  get browser() {
    browser ??= createConverter({ isJS: false, isBrowser: true });
    return browser;
  },
  close() {
    node.close();
    browser?.close();
  },
};

// 2. errors
let lastError = null;
const util = require("node:util");
const clean = (stack) =>
  stack
    .split("\n")
    .filter((l) => !/node_modules\/tslab\/|kernel\.cjs|node:vm:|sigintHandlersWrap|Script\.runInThisContext/.test(l))
    .join("\n");
const executor = createExecutor(process.cwd(), converters, {
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
        lastError.evalue += `\n${text}`;
        lastError.traceback.push(text);
      } else lastError = { ename: "TypeScriptError", evalue: text, traceback: [text] };
    }
  },
});

class Handler extends JupyterHandlerImpl {
  // this runs when it is the cell's turn; requests come in earlier ("run all" sends every cell at once)
  async handleExecuteImpl(...args) {
    lastError = null;
    return super.handleExecuteImpl(...args);
  }

  // 5. callbacks of write
  createWriteToIopub(name, writeStream) {
    const write = super.createWriteToIopub(name, writeStream);
    return (chunk, ...rest) => {
      write(chunk);
      const done = rest.at(-1);
      if (typeof done === "function") process.nextTick(done);
      return true;
    };
  }
}

class Server extends ZmqServer {
  async handleExecute(sock, msg) {
    const pub = (type, content) => {
      const r = msg.createReply();
      r.header.msg_type = type;
      r.content = content;
      r.signAndSend(this.connInfo.key, this.iopub);
    };
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
    } else if (content.status === "ok" && lastError) console.error(lastError.traceback.join("\n")); // diagnostics of a %module cell
    const reply = msg.createReply();
    reply.header.msg_type = "execute_reply";
    reply.content = content;
    reply.signAndSend(this.connInfo.key, sock);
  }
}

const server = new Server(new Handler(executor, false), configPath);
process.on("SIGINT", () => executor.interrupt());
process.on("uncaughtException", (error) => console.error("uncaught exception:", error));
process.on("unhandledRejection", (error) => console.error("unhandled rejection:", error));
// runNotebook starts kernels with a channel to itself: when that closes, it was killed and nobody tidies up after it
process.once("disconnect", () => {
  fs.rmSync(path.dirname(configPath), { recursive: true, force: true });
  process.exit(1);
});
process.channel?.unref();
server.init();
