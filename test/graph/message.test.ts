import assert from "node:assert/strict";
import { test } from "node:test";
import { inOneLine, messageLine, printable } from "../../src/graph/message.js";

test("printable(text) escapes what a terminal would obey, and leaves letters of any script", () => {
  assert.equal(printable("a\u001b[31m\nb\u0085\u2028\u202ec"), "a\\u001b[31m\\nb\\u0085\\u2028\\u202ec");
  assert.equal(printable("ü 🙂 λ"), "ü 🙂 λ");
});

test("messageLine(message) makes, behind `mutwo: `, at most 300 characters: names are cut first, then the middle", () => {
  assert.equal(messageLine("short (node a)"), "short (node a)");
  const named = messageLine(`unknown op: ${"n".repeat(10_000)} (node ${"m".repeat(500)}); export it again`);
  assert.match(named, /^unknown op: n{40}…n{19} \(node m{40}…m{19}\); export it again$/);
  const listed = messageLine(`shape mismatch: ${"[1,2,3] and ".repeat(100)}(node a); do this`);
  assert.equal(`mutwo: ${listed}`.length, 300);
  assert.match(listed, /^shape mismatch: .*…1?,?.*\(node a\); do this$/);
  assert.equal(messageLine("\u0000".repeat(1000)).length <= 293, true);
});

test("inOneLine(error) is the error itself where its message is one line already", () => {
  const good = new Error("all is well");
  assert.equal(inOneLine(good), good);
  const bad = new Error("two\nlines");
  assert.equal(inOneLine(bad).message, "two\\nlines");
  assert.equal(inOneLine(bad).cause, bad);
  assert.equal(inOneLine("thrown text").message, "thrown text");
});

test("inOneLine(error) says in our own words that JavaScript lacks memory", () => {
  const refused = (work: () => unknown): string => {
    try {
      work();
    } catch (error) {
      return inOneLine(error).message;
    }
    return assert.fail("not refused");
  };
  for (const work of [() => new ArrayBuffer(2 ** 52), () => new Float32Array(2 ** 52), () => new Array(-1)])
    assert.match(refused(work), /^out of memory: a tensor is too large for this machine; /);
});
