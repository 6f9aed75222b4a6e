#!/usr/bin/env node
// Starts tslab 1.0.22 with its known defects repaired (the package is no longer released):
//  1. it sends on ZeroMQ without waiting; after ~500 messages in one tick they are lost, "idle" among them, and the
//     front end hangs: here sends are queued, and the publisher's high-water mark is off; and it receives while it
//     binds, which ZeroMQ refuses where a message has come already: the kernel was deaf then (sends.cjs);
//  2. a failing cell sends no `error` message (Jupyter then shows "<Error>:"), and "abort" for the protocol's "aborted";
//     here errors name the cell and the line in it, without frames of what lies below (places.cjs);
//  3. it resolves types with moduleResolution Node10, blind to `exports` maps: here Bundler;
//  4. the working directory is the notebook's, and nothing outside it can be imported as TypeScript: here it is the
//     nearest ancestor with a package.json, unless `--stay` is given;
//  5. `process.stdout.write` forgets its callback, and who waits for that waits for ever;
//  6. it finds no variable of an earlier cell in a shorthand property: after `let batch = 8`, `{ batch }` throws;
//  7. it prints a cell's last expression: here that is an `execute_result` in the forms that notebook/mime.ts gives it,
//     and `Out[3]` is that of the third cell; replies and `execute_input` carry the count, silent requests have none;
//  8. an interrupted cell goes on: here its signal is aborted, what it awaits is rejected, and endless computations are
//     ended (interrupt.cjs).
"use strict";
const fs = require("node:fs");
const path = require("node:path");

// 4. working directory
let root = process.cwd();
while (!fs.existsSync(path.join(root, "package.json")) && path.dirname(root) !== root) root = path.dirname(root);
if (!process.argv.includes("--stay") && fs.existsSync(path.join(root, "package.json"))) process.chdir(root);

const tslabDir = path.dirname(require.resolve("tslab/package.json"));
const fromTslab = require("node:module").createRequire(path.join(tslabDir, "package.json"));

// 1. and 3., 6., 8.: before tslab loads either
const { resume } = require("./sends.cjs").repair(fromTslab);
const { maps } = require("./compiler.cjs").repair(fromTslab);

const { createConverter } = require(path.join(tslabDir, "dist/converter.js"));
const { createExecutor } = require(path.join(tslabDir, "dist/executor.js"));
const { ZmqServer, JupyterHandlerImpl } = require(path.join(tslabDir, "dist/jupyter.js"));
const { TaskCanceledError } = require(path.join(tslabDir, "dist/util.js"));
const { describe, describeDiagnostic, named, remember } = require("./places.cjs");
const { onInterrupt } = require("./interrupt.cjs");

const configPath = process.argv[process.argv.indexOf("--config-path") + 1];

/** The cell that runs: its number, id, signal; `stop` ends it from outside. Library code finds it by the symbol below. */
const kernel = { cell: null, display: null };
globalThis[Symbol.for("mutwo.kernel")] = kernel;

const node = createConverter({ isJS: false, isBrowser: false });
const { convert } = node;
node.convert = (declarations, source) => {
  // 7. the first cell declares what all know; tslab carries it on from there
  const converted = convert(declarations || "declare let Out: Record<number, any>;\n", source);
  if (kernel.cell && converted.output) {
    const { count } = kernel.cell;
    remember(count, { source, maps: [...maps], isAsync: converted.hasToplevelAwait });
    converted.output = named(converted.output, count);
  }
  return converted;
};
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

let lastError = null;
const executor = createExecutor(process.cwd(), converters, {
  // 7. the value of the last expression
  log: (value) => {
    if (kernel.cell) kernel.cell.result = { value };
  },
  error: (...args) => {
    const count = kernel.cell?.count;
    if (args.length === 1)
      lastError = describe(kernel.cell?.signal.aborted ? kernel.cell.signal.reason : args[0], count);
    else {
      // a diagnostic of the compiler: tslab's format, file, line, column, text
      const error = describeDiagnostic(...args.slice(1), count);
      if (lastError?.ename !== "TypeScriptError") lastError = error;
      else {
        lastError.evalue += `\n${error.evalue}`;
        lastError.traceback.push(...error.traceback);
      }
    }
  },
});
executor.locals.Out = {};

// 8. what cells await
globalThis.__tslab__.live = (value) => {
  const { cell } = kernel;
  if (!cell || typeof value?.then !== "function") return value;
  return new Promise((resolve, reject) => {
    const settled = (settle) => (result) => {
      cell.signal.removeEventListener("abort", stop);
      settle(result);
    };
    const stop = () => reject(cell.signal.reason);
    if (cell.signal.aborted) return stop();
    cell.signal.addEventListener("abort", stop);
    value.then(settled(resolve), settled(reject));
  });
};

/** What notebook/mime.ts makes of a value, undefined of one that is shown already; text where that is not built. */
function bundleOf(value) {
  try {
    const { bundle, isShown } = require("../../dist/notebook/mime.js");
    return isShown(value) ? undefined : bundle(value);
  } catch (error) {
    if (error?.code !== "MODULE_NOT_FOUND") throw error;
    return { "text/plain": require("node:util").inspect(value) };
  }
}

class Handler extends JupyterHandlerImpl {
  async handleExecute(req, ...streams) {
    try {
      const { count } = await this.execQueue.add(() => this.handleExecuteImpl(req, ...streams));
      return { status: "ok", execution_count: count };
    } catch (error) {
      if (error instanceof TaskCanceledError) return { status: "aborted" };
      // cells that were sent before the front end knew of the error are not to run: time for those under way
      if (req.stop_on_error !== false) await new Promise((resolve) => setTimeout(resolve, 30));
      this.execQueue.reset();
      return { status: "error", execution_count: this.failedCount };
    }
  }

  // this runs when it is the cell's turn; requests come in earlier ("run all" sends every cell at once)
  async handleExecuteImpl(req, ...streams) {
    lastError = null;
    const controller = new AbortController();
    let stop;
    const stopped = new Promise((_, reject) => {
      stop = reject;
    });
    if (req.silent) this.execCount--;
    const count = this.execCount + 1;
    kernel.cell = { count, id: req.cellId, code: req.code, signal: controller.signal, controller, stop };
    kernel.display = streams[1];
    if (req.deletedCells?.includes(kernel.library?.id)) kernel.library = undefined;
    remember(count, { source: req.code, maps: [] });
    if (!req.silent) req.publish("execute_input", { code: req.code, execution_count: count });
    // an interrupt may end the cell with all that called it and is queued behind it: nothing of the kernel's may be
    const work = new Promise((resolve) => setImmediate(resolve)).then(() => super.handleExecuteImpl(req, ...streams));
    try {
      const done = await Promise.race([work, stopped]);
      const { result } = kernel.cell;
      if (result && !req.silent) {
        executor.locals.Out[count] = result.value;
        const data = bundleOf(result.value);
        if (data) req.publish("execute_result", { execution_count: count, data, metadata: {} });
      }
      return done;
    } catch (error) {
      // tslab's own way to say that the cell failed carries the count
      if (!lastError) lastError = describe(error?.count === undefined ? error : kernel.cell.signal.reason, count);
      this.failedCount = count;
      throw error;
    } finally {
      kernel.cell = null;
    }
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
      { ...msg.content, cellId: msg.metadata.cellId, deletedCells: msg.metadata.deletedCells, publish: pub },
      (name, text) => pub("stream", { name, text }),
      (data, update) => pub(update ? "update_display_data" : "display_data", data),
    );
    if (content.status === "error") {
      const { line, ...error } = lastError ?? { ename: "Error", evalue: "", traceback: [] };
      Object.assign(content, error, { line });
      pub("error", error);
    } else if (content.status === "ok") {
      if (lastError) console.error(lastError.traceback.join("\n")); // diagnostics of a %module cell
      Object.assign(content, { user_expressions: {}, payload: [] });
    }
    const reply = msg.createReply();
    reply.header.msg_type = "execute_reply";
    reply.content = content;
    reply.signAndSend(this.connInfo.key, sock);
  }

  // a front end that sends a message in place of SIGINT
  async handleShellMessage(sock, ...frames) {
    const type = (frame) => frame.length < 1000 && frame.includes('"msg_type"') && frame.includes("interrupt_request");
    if (!frames.some(type)) return super.handleShellMessage(sock, ...frames);
    interrupt();
  }
}

/** Ends the cell that runs: by its signal, and after a while in any case. */
function interrupt(ended = false) {
  const { cell } = kernel;
  resume();
  if (!cell) return;
  const reason = Object.assign(new Error("the cell was interrupted"), { name: "Interrupted", stack: "" });
  if (!cell.signal.aborted) cell.controller.abort(reason);
  const stop = () => cell.stop(reason);
  if (ended) stop();
  else setTimeout(stop, 500);
}

const server = new Server(new Handler(executor, false), configPath);
onInterrupt(interrupt);
const report = (error) => console.error(describe(error).traceback.join("\n"));
process.on("uncaughtException", report);
process.on("unhandledRejection", report);
// runNotebook starts kernels with a channel to itself: when that closes, it was killed and nobody tidies up after it
process.once("disconnect", () => {
  fs.rmSync(path.dirname(configPath), { recursive: true, force: true });
  process.exit(1);
});
process.channel?.unref();
server.init();
