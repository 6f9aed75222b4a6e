import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "commander";
import { examples } from "../../src/commands/examples.js";
import { program } from "../../src/commands/program.js";
import { topics } from "../../src/commands/topics.js";
import { hasAction, helpOf, problemsOf } from "../command-lines.js";

/** Each command that does something, with its names behind `mutwo`. */
const leaves = (command: Command, words: readonly string[] = []): (readonly [words: string, command: Command])[] => [
  ...(hasAction(command) && words.length ? [[words.join(" "), command] as const] : []),
  ...command.commands.flatMap((inner) => leaves(inner, [...words, inner.name()])),
];

for (const [words, command] of leaves(program()))
  test(`mutwo ${words} --help ends with two examples or more that parse, and with topics that there are`, async () => {
    const help = helpOf(command);
    const [, examples = "", more = ""] =
      /\nExamples:\n((?: {2}mutwo .*\n)+)(?:More: mutwo help (.*)\n)?\n*$/.exec(help) ?? [];
    const lines = examples
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean);
    assert.ok(lines.length >= 2, help);
    for (const line of lines) {
      assert.ok(line.startsWith(`mutwo ${words}`), line);
      assert.deepEqual(await problemsOf(line), [], line);
    }
    for (const topic of more ? more.split(" | ") : []) assert.ok(topics().includes(topic), topic);
  });

test("there are no examples of commands that are not there", () => {
  const known = leaves(program()).map(([words]) => words);
  assert.deepEqual(
    Object.keys(examples).filter((words) => !known.includes(words)),
    [],
  );
});
