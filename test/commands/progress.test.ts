import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { test } from "node:test";
import { progressBar } from "../../src/commands/progress.js";

/** A stream that keeps what is written, as a terminal or not. */
function stream(isTTY: boolean): { stream: NodeJS.WriteStream; text: () => string } {
  let text = "";
  const writable = new Writable({
    write(chunk, _, done) {
      text += String(chunk);
      done();
    },
  });
  return { stream: Object.assign(writable, { isTTY, columns: 80 }) as unknown as NodeJS.WriteStream, text: () => text };
}

test("progressBar(stream) says each stage once where there is no terminal", () => {
  const { stream: file, text } = stream(false);
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

test("progressBar(stream) is a bar on a terminal, which goes when it stops", () => {
  const { stream: terminal, text } = stream(true);
  const bar = progressBar(terminal);
  bar.update("profile", 3, 7);
  bar.stop();
  assert.match(text(), /start .* 0\/1/);
  const [hidden, shown] = ["\x1b[?25l", "\x1b[?25h"].map((code) => text().lastIndexOf(code));
  assert.ok(
    hidden !== undefined && shown !== undefined && hidden >= 0 && shown > hidden,
    "the cursor is hidden, then shown",
  );
  assert.doesNotMatch(text(), /\n/);
});
