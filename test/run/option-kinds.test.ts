import assert from "node:assert/strict";
import { test } from "node:test";
import { choice, count, flag, type Kind, positive, sizes, text, texts } from "../../src/run/option-kinds.js";

/** Each kind with a value, the words that give it, its form in a report, and what it is not. */
const kinds: readonly (readonly [
  name: string,
  kind: Kind<unknown>,
  value: unknown,
  words: string[],
  said: string,
  wrong: unknown[],
])[] = [
  ["text", text("name"), "a b", ["a b"], "a b", [1, null]],
  ["choice", choice("mode", ["on", "off"]), "off", ["off"], "off", ["On", 1]],
  ["count(1)", count(1), 3, ["3"], "3", [0, 1.5, "3", Number.NaN]],
  ["positive", positive(), 0.5, ["0.5"], "0.5", [0, -1, Number.POSITIVE_INFINITY, "1"]],
  ["flag", flag(), true, [""], "yes", ["true", 1]],
  ["flag(false)", flag(false), false, [""], "no", ["false", 0]],
  ["texts", texts("pattern"), ["a", "b"], ["a", "b"], "a, b", ["a", [1]]],
  ["sizes", sizes(), { batch: 4, "a b": 1 }, ["batch=4", "a b=1"], "batch = 4, a b = 1", [null, { batch: 0 }, [1.5]]],
];

for (const [name, kind, value, words, said, wrong] of kinds)
  test(`${name}: parse(words(value)) is the value, which it includes; other types it does not`, () => {
    assert.deepEqual(kind.words(value), words);
    assert.deepEqual(
      words.reduce<unknown>((before, word) => kind.parse(word, before), undefined),
      value,
    );
    assert.equal(kind.say(value), said);
    assert.deepEqual([value, ...wrong].filter(kind.includes), [value]);
  });

const refused: readonly (readonly [kind: Kind<unknown>, word: string, message: string])[] = [
  [choice("mode", ["on", "off"]), "of", "Allowed choices are on, off."],
  [count(0), "-1", "use a whole number from 0 on"],
  [positive(), "x", "use a positive number"],
  [sizes(), "batch", "use NAME=N with a positive whole number, batch=32"],
  [sizes(), "batch=0", "use NAME=N with a positive whole number, batch=32"],
];

for (const [kind, word, message] of refused)
  test(`parse("${word}") of ${kind.metavar} says how to write it`, () =>
    assert.throws(() => kind.parse(word, undefined), { message }));

test("sizes().parse(word) takes names that hold an equals sign", () => {
  const { parse, words } = sizes();
  assert.deepEqual(parse("a=b=4", undefined), { "a=b": 4 });
  assert.deepEqual(words({ "a=b": 4 }), ["a=b=4"]);
});

test("sizes().parse(word, before) takes the same size again and refuses another", () => {
  assert.deepEqual(sizes().parse("a=2", { a: 2 }), { a: 2 });
  assert.throws(() => sizes().parse("a=3", { a: 2 }), { message: "contradicting dimension: a is 2 and 3" });
});

test("flag().words(the other value) are none: nothing on a command line gives it", () => {
  assert.deepEqual([flag().words(false), flag(false).words(true)], [[], []]);
});
