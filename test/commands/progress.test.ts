import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { test } from "node:test";
import { barText, progressBar } from "../../src/commands/progress.js";
import { Screen } from "../screen.js";

/** A stream that keeps what is written, as a terminal of so many columns or not. */
function stream(columns?: number): { stream: NodeJS.WriteStream; text: () => string } {
  let text = "";
  const writable = new Writable({
    write(chunk, _, done) {
      text += String(chunk);
      done();
    },
  });
  const terminal = Object.assign(writable, { isTTY: columns !== undefined, columns });
  return { stream: terminal as unknown as NodeJS.WriteStream, text: () => text };
}

test("progressBar(stream) says each stage once where there is no terminal", () => {
  const { stream: file, text } = stream();
  const bar = progressBar(file);
  for (const [stage, done] of [
    ["read", 0],
    ["profile", 0],
    ["profile", 1],
    ["plan", 0],
  ] as const)
    bar.update(stage, done, 2);
  bar.stop();
  assert.equal(text(), "read\nprofile\nplan\n");
});

const longPath = `report: ${"reports/a folder with a long name/".repeat(4)}report.html`;

for (const columns of [60, 100, 200])
  test(`progressBar on a terminal of ${columns} columns is one line, which is gone when results are printed, whole`, () => {
    const { stream: terminal, text } = stream(columns);
    const bar = progressBar(terminal);
    const screen = new Screen(columns);
    screen.write("$ mutwo profile\r\n");
    bar.update("profile", 1, 7);
    bar.update("profile", 7, 7);
    bar.update("write report of a step with a very long name", 0, 1);
    const drawn = new Screen(columns);
    drawn.write(text());
    assert.equal(drawn.lines.length, 1);
    assert.match(drawn.lines[0] ?? "", /^write report of a step .* 0\/1/);
    assert.equal(drawn.cursorIsShown, false);
    bar.stop();
    bar.stop();
    screen.write(`${text()}${longPath}\n`);
    screen.write("$ ");
    assert.equal(screen.cursorIsShown, true);
    assert.equal(screen.lines[0], "$ mutwo profile");
    assert.equal(screen.lines.slice(1, -1).join(""), longPath);
    assert.equal(screen.lines.at(-1), "$ ");
  });

test("progressBar(stream) stopped before anything is drawn writes nothing, and may begin again", () => {
  const { stream: terminal, text } = stream(80);
  const bar = progressBar(terminal);
  const before = process.listenerCount("exit");
  bar.stop();
  assert.equal(text(), "");
  bar.update("plan", 0, 1);
  assert.equal(process.listenerCount("exit"), before + 1);
  bar.stop();
  assert.equal(process.listenerCount("exit"), before);
});

test("barText(bar, columns) has stage, bar, count and time left, and is never wider than columns − 1", () => {
  const bar = { stage: "profile", done: 3, total: 12, leftMs: 41_300 };
  assert.equal(barText(bar, 60), `profile      ${"█".repeat(8)}${"░".repeat(22)} 3/12, 41 s left`);
  assert.equal(barText(bar, 200), `profile      ${"█".repeat(10)}${"░".repeat(30)} 3/12, 41 s left`);
  assert.equal(barText(bar, 30), "profile 3/12, 41 s left");
  assert.equal(barText(bar, 20), "profile 3/12");
  assert.equal(barText({ stage: "plan", done: 0, total: 1 }, 40), `plan         ${"░".repeat(22)} 0/1`);
  assert.match(barText({ ...bar, leftMs: 10 }, 60), / 3\/12, 1 s left$/);
  assert.match(barText({ ...bar, leftMs: 200_000 }, 60), / 3\/12, 3 min left$/);
  for (let columns = 0; columns < 120; columns++) assert.ok(barText(bar, columns).length <= Math.max(0, columns - 1));
});

test("a stage that tells of itself shows its words and its own time left; where there is no room the time goes first", () => {
  const bar = { stage: "train", done: 3, total: 12, leftMs: 41_300, note: "loss 0.31, 1,200 samples/s" };
  assert.equal(
    barText(bar, 90),
    `train        ${"█".repeat(8)}${"░".repeat(24)} 3/12, loss 0.31, 1,200 samples/s, 41 s left`,
  );
  assert.equal(barText(bar, 45), "train 3/12, loss 0.31, 1,200 samples/s");
  for (let columns = 0; columns < 120; columns++) assert.ok(barText(bar, columns).length <= Math.max(0, columns - 1));
});

test("progressBar.say writes lines that stay, above a bar and where there is no terminal", () => {
  const telling = { note: "loss 1", leftMs: 1000 };
  const { stream: terminal, text } = stream(60);
  const bar = progressBar(terminal);
  bar.update("train", 1, 7, telling);
  bar.say("epoch 1: loss 1");
  bar.update("train", 2, 7, telling);
  bar.stop();
  const screen = new Screen(60);
  screen.write(`${text()}$ `.replaceAll("\n", "\r\n"));
  assert.deepEqual(screen.lines, ["epoch 1: loss 1", "$ "]);
  assert.equal(screen.cursorIsShown, true);
  const { stream: file, text: written } = stream();
  const lines = progressBar(file);
  lines.update("open data", 0, 1);
  for (const step of [1, 2, 3]) lines.update("train", step, 7, telling);
  lines.say("epoch 1: loss 1");
  lines.update("train", 4, 7, telling);
  lines.stop();
  assert.equal(written(), "open data\ntrain\nepoch 1: loss 1\n");
});
