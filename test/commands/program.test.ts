import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "commander";
import { program } from "../../src/commands/program.js";
import { topics } from "../../src/commands/topics.js";
import { problemsOf } from "../command-lines.js";

/** Each command that does something, with its names behind `mutwo`. */
const leaves = (command: Command, words: readonly string[] = []): (readonly [words: string, command: Command])[] =>
  command.commands.length
    ? command.commands.flatMap((inner) => leaves(inner, [...words, inner.name()]))
    : [[words.join(" "), command]];

/** What `--help` prints of a command. */
function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
    getOutHelpWidth: () => 80,
  });
  command.outputHelp();
  return text;
}

for (const [words, command] of leaves(program()))
  test(`mutwo ${words} --help ends with two examples or more that parse, and with topics that there are`, async () => {
    const help = helpOf(command);
    const [, examples = "", more = ""] = /\nExamples:\n((?: {2}mutwo .*\n)+)(?:More: mutwo help (.*)\n)?\n*$/.exec(help) ?? [];
    const lines = examples.split("\n").map((line) => line.trim()).filter(Boolean);
    assert.ok(lines.length >= 2, help);
    for (const line of lines) {
      assert.ok(line.startsWith(`mutwo ${words}`), line);
      assert.deepEqual(await problemsOf(line), [], line);
    }
    for (const topic of more ? more.split(" | ") : []) assert.ok(topics().includes(topic), topic);
  });

test("mutwo profile --help groups options: step, device, measuring, planning, output", () => {
  const profile = program().commands.find((one) => one.name() === "profile") as Command;
  const headings = [...helpOf(profile).matchAll(/^(\w+):$/gm)].map(([, heading]) => heading);
  assert.deepEqual(headings, ["Step", "Device", "Measuring", "Planning", "Output", "Options", "Examples"]);
});

test("problemsOf(line) sees unknown options, missing ones and wrong values: the tests of documents do", async () => {
  assert.deepEqual(await problemsOf("mutwo profile M.onnx --loss ce --optimizer sgd"), []);
  assert.match((await problemsOf("mutwo profile M.onnx --los ce")).join(), /unknown option '--los'/);
  assert.match((await problemsOf("mutwo profile M.onnx --loss ce")).join(), /missing: --optimizer/);
  assert.match((await problemsOf("mutwo sweep M.onnx --loss hinge --optimizer sgd")).join(), /unknown loss: hinge/);
  assert.match((await problemsOf("mutwo plan RUN --budget lots")).join(), /not a size/);
  assert.match((await problemsOf("mutwo nix")).join(), /unknown command/);
});
