import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { call, countStates, doTask, isOver, pickTask } from "../../src/sweep/engine.js";
import { jobOf } from "../engine-job.js";

const node = process.execPath;

test("pickTask() makes a shell do the task whose number a variable holds, whatever the program's path has in it", () => {
  const script = pickTask(jobOf("pick", { mutwo: ["printf", "%s|", "it's $HOME"] }), "NUMBER");
  const said = execFileSync("sh", ["-c", script, "sh", "0-9", "10,12", "17"], {
    encoding: "utf8",
    env: { ...process.env, NUMBER: "1" },
  });
  const words = said.split("|").slice(0, -1);
  assert.deepEqual(
    [words.slice(0, 3), words.slice(-2)],
    [
      ["it's $HOME", "sweep", "run"],
      ["--index", "10,12"],
    ],
  );
});

test("isOver(status) is a task's that no other attempt brings further", () => {
  assert.deepEqual([0, 1, 2, 75, "SIGKILL", null].map(isOver), [true, true, false, false, false, false]);
});

test("countStates() counts what waits and runs, and bad ends by their words", () => {
  const kinds = { waiting: /^PENDING/, running: /^RUNNING/, done: /^COMPLETED/ };
  const text = "RUNNING\nPENDING\nPENDING (Priority)\nCOMPLETED\nCANCELLED by 0\nTIMEOUT\nTIMEOUT\n";
  assert.deepEqual(countStates(text, kinds), { waiting: 2, running: 1, ended: { CANCELLED: 1, TIMEOUT: 2 } });
  assert.deepEqual(countStates("", kinds), { waiting: 0, running: 0, ended: {} });
});

test("call() prints what the program does, and says in one line why it does not", async () => {
  assert.equal(await call("cat", [], "what it reads"), "what it reads");
  await assert.rejects(call("sh", ["-c", "echo one >&2; echo two >&2; exit 3"]), /^Error: sh: two$/);
  await assert.rejects(call("sh", ["-c", "exit 3"]), /^Error: sh: ended with 3$/);
  await assert.rejects(call("sh", ["-c", "exit 3"], "x".repeat(2 ** 20)), /^Error: sh: ended with 3$/);
  await assert.rejects(call("no-such-program", []), /^Error: no-such-program is not installed here$/);
});

test("doTask() returns how the task ended, and asks it to stop with its worker", async () => {
  const never = new AbortController().signal;
  assert.equal(await doTask([node, "-e", "process.exit(75)"], never), 75);
  assert.equal(await doTask([node, "-e", "process.kill(process.pid, 'SIGKILL')"], never), "SIGKILL");
  await assert.rejects(doTask(["/no/such/program"], never), /ENOENT/);
  const stop = new AbortController();
  const task = doTask(["sleep", "60"], stop.signal);
  await setTimeout(100);
  stop.abort();
  assert.equal(await task, "SIGTERM");
});
