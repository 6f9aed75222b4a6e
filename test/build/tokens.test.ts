import assert from "node:assert/strict";
import { test } from "node:test";
import { plainWord, tokens } from "../../src/build/tokens.js";

const read = (text: string): string[] => tokens(text).map(({ kind, text: token, line }) => `${line} ${kind} ${token}`);

test("tokens(text) tells words, numbers, strings and signs apart, with lines; comments end with theirs", () => {
  assert.deepEqual(read('y = a.b/c@swap:0 # x = "1"\n-1.5e3 inf -inf 3 => -> ... "a \\" b"'), [
    "1 word y",
    "1 sign =",
    "1 word a.b/c@swap:0",
    "2 number -1.5e3",
    "2 word inf",
    "2 number -inf",
    "2 number 3",
    "2 sign =>",
    "2 sign ->",
    "2 sign ...",
    '2 string "a \\" b"',
    "2 end end of text",
  ]);
});

test("tokens(text) refuses what is none of these", () => {
  assert.throws(() => tokens("a\n ;"), /^Error: unexpected character: ";" \(line 2\)$/);
  assert.throws(() => tokens('"open'), /^Error: unexpected character: "\\"" \(line 1\)$/);
});

test("plainWord(name) holds for names that are read back without quotes", () => {
  for (const name of ["a", "_x", "/layer/0/MatMul:0", "a-b", "w@micro2", "x$y"]) {
    assert.ok(plainWord(name), name);
    assert.deepEqual(read(name), [`1 word ${name}`, "1 end end of text"]);
  }
  for (const name of ["", "_", "1a", "a b", "a:", 'a"', "ä"]) assert.ok(!plainWord(name), name);
});
