// Ctrl-C of a kernel. JavaScript that computes without a pause cannot be told to stop from its own thread, so a thread of
// its own waits for SIGINT and asks the main thread to stop; where that does not answer, it ends what runs there.
"use strict";
const { executionAsyncId } = require("node:async_hooks");
const { Session } = require("node:inspector");
const vm = require("node:vm");
const { Worker, isMainThread, parentPort, workerData } = require("node:worker_threads");

/** How long the main thread has to answer before what it computes is ended, ms. */
const patienceMs = 250;

/** Places in the memory that both threads see. */
const answered = 0;
const endable = 1;

const globalName = "__mutwoEndable__";

/** Calls `interrupt` on SIGINT, even while the thread that calls this computes. */
function onInterrupt(interrupt) {
  const shared = new Int32Array(new SharedArrayBuffer(8));
  // vm's own way takes every listener away while it runs, and the default action would end the process
  const { runInThisContext } = vm;
  vm.runInThisContext = (code, options) => runInThisContext(code, { ...options, breakOnSigint: false });
  // the thread below takes the signal; a listener here keeps the default action, which ends the process, away
  process.on("SIGINT", () => interrupt(false));
  // within a callback of a timer, Node cannot go on after its code was ended: then nothing is done
  globalThis[globalName] = () => {
    Atomics.store(shared, endable, executionAsyncId() === 0 && Atomics.load(shared, answered) === 0 ? 1 : 2);
    Atomics.notify(shared, endable);
  };
  const worker = new Worker(__filename, { workerData: shared, stdout: true, stderr: true });
  worker.unref();
  worker.on("message", (ended) => {
    Atomics.store(shared, answered, 1);
    Atomics.notify(shared, answered);
    interrupt(ended);
  });
}

/** Ends what the main thread computes, where it says that it can go on afterwards; returns whether it was told to. */
function endMain(shared) {
  const session = new Session();
  session.connectToMainThread();
  Atomics.store(shared, endable, 0);
  session.post("Runtime.evaluate", { expression: `${globalName}()` });
  Atomics.wait(shared, endable, 0, patienceMs);
  const ends = Atomics.load(shared, endable) === 1;
  if (ends) session.post("Runtime.terminateExecution");
  session.disconnect();
  return ends;
}

if (isMainThread) module.exports = { onInterrupt };
else {
  const never = new Int32Array(new SharedArrayBuffer(4));
  globalThis.waitForSignal = () => Atomics.wait(never, 0, 0);
  for (;;) {
    try {
      vm.runInThisContext("waitForSignal()", { breakOnSigint: true });
    } catch {
      Atomics.store(workerData, answered, 0);
      parentPort.postMessage(false);
      if (Atomics.wait(workerData, answered, 0, patienceMs) === "timed-out" && endMain(workerData))
        parentPort.postMessage(true);
    }
  }
}
