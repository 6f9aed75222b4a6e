import assert from "node:assert/strict";
import { test } from "node:test";
import { Reader } from "../../src/build/reader.js";

test("Reader.list(…) reads items between signs, with or without a comma at the end", () => {
  const list = (text: string): string[] => {
    const reader = new Reader(text);
    return reader.list("(", ")", () => reader.name());
  };
  assert.deepEqual([list("()"), list('(a, "b c")'), list("(a,)")], [[], ["a", "b c"], ["a"]]);
  assert.throws(() => list("(a b)"), /^Error: expected , or \), found b \(line 1\)$/);
  assert.throws(() => list("a"), /^Error: expected \(, found a \(line 1\)$/);
});

test("Reader.take(…) takes all of its tokens or none", () => {
  const reader = new Reader("optimizer state x");
  assert.equal(reader.take("optimizer", "x"), false);
  assert.equal(reader.take("optimizer", "state"), true);
  assert.equal(reader.name(), "x");
  assert.equal(reader.next().kind, "end");
  assert.equal(reader.next().kind, "end");
});

test("Reader.name(), number() and count() refuse other tokens", () => {
  assert.throws(() => new Reader("3").name(), /^Error: expected a name, found 3 \(line 1\)$/);
  assert.throws(() => new Reader("\n x").number(), /^Error: expected a number, found x \(line 2\)$/);
  assert.throws(() => new Reader("1.5").count(), /^Error: expected a size, found 1.5 \(line 1\)$/);
  assert.deepEqual([new Reader("nan").number(), new Reader("12").count()], ["nan", 12]);
});
