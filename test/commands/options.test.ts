import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { Command } from "commander";
import { withOptions } from "../../src/commands/options.js";
import { commandOf } from "../../src/run/option-forms.js";
import type { CommandName, Given } from "../../src/run/option-kinds.js";
import { type OptionsOf, optionsOf } from "../../src/run/options.js";
import { besidesOf, sampleOf } from "../option-samples.js";

/** What a command's action gets from the words after its name. */
async function parse(name: CommandName, words: readonly string[]): Promise<{ file: string; options: Given }> {
  let got: { file: string; options: Given } | undefined;
  const command = new Command(name).argument("<file>").argument("[others...]").exitOverride();
  withOptions(command, name, async (file, options) => {
    got = { file, options: options as Given };
  });
  await command.parseAsync(words, { from: "user" });
  assert.ok(got);
  return got;
}

/** The words that a shell makes of a command line. */
const shellWords = (command: string): string[] =>
  execFileSync("sh", ["-c", `set -- ${command}; printf '%s\\0' "$@"`], { encoding: "utf8" })
    .split("\0")
    .slice(0, -1);

const commands: readonly CommandName[] = ["profile", "plan", "verify", "show", "train"];

for (const command of commands)
  for (const [name, spec] of optionsOf(command))
    test(`mutwo ${command} ${spec.flag}: parse → options → commandOf → sh → parse gives the same options; --help shows it`, async () => {
      const required = optionsOf(command).filter(([, other]) => other.required?.includes(command));
      const given: Given = {
        ...Object.fromEntries(required.map(([other, its]) => [other, sampleOf(other, its)])),
        ...(spec.only ? { backend: spec.only.backends[0] } : {}),
        ...(name === "planner" ? {} : { planner: "keepAll" }),
        ...besidesOf(name),
        [name]: sampleOf(name, spec),
      };
      const taken = Object.fromEntries(
        Object.entries(given).filter(([key]) => optionsOf(command).some(([own]) => own === key)),
      );
      const file = "a folder/it's a model.onnx";
      const [program, itself, ...words] = shellWords(commandOf(command, file, taken as OptionsOf<CommandName>));
      assert.deepEqual([program, itself], ["mutwo", command]);
      const first = await parse(command, words);
      assert.equal(first.file, file);
      assert.deepEqual({ ...first.options, ...taken }, first.options);
      assert.deepEqual(first.options[name], sampleOf(name, spec));
      const again = shellWords(commandOf(command, file, first.options as unknown as OptionsOf<CommandName>)).slice(2);
      assert.deepEqual((await parse(command, again)).options, first.options);

      const root = new Command(command);
      const help = withOptions(root, command, async () => {})
        .helpInformation()
        .replace(/\s+/g, " ");
      assert.ok(help.includes(`${spec.flag} ${spec.kind.metavar}`.trim()), `no ${spec.flag} in --help`);
      assert.ok(help.includes(spec.help), `no help of ${spec.flag} in --help`);
    });

test("withOptions(command) says all that is missing or wrong at once, with what commander says", async () => {
  const said = async (...words: string[]): Promise<string[]> => {
    let text = "";
    const command = new Command("profile").argument("<model>").exitOverride();
    withOptions(
      command,
      "profile",
      async () => assert.fail("the action ran"),
      () => {
        throw new Error("output folder not writable: x");
      },
    ).configureOutput({ writeErr: (line) => (text += line) });
    await assert.rejects(command.parseAsync(words, { from: "user" }), { exitCode: 1 });
    return text.trimEnd().split("\n");
  };
  assert.deepEqual(await said("m", "--los", "ce", "--seed", "-1", "--dim", "a=2", "--dim", "a=3", "--budget", "lots"), [
    "mutwo: unknown option '--los'",
    "(Did you mean --loss?)",
    "mutwo: required option '--loss <name>' not specified",
    "mutwo: required option '--optimizer <name>' not specified",
    "mutwo: option '--dim <name=N>' argument 'a=3' is invalid. contradicting dimension: a is 2 and 3",
    "mutwo: option '--seed <n>' argument '-1' is invalid. use a whole number from 0 on",
    "mutwo: budget is not a size: lots (use 4GiB, 500MB or 60%)",
    "mutwo: output folder not writable: x",
  ]);
  assert.deepEqual(
    await said("m", "--loss", "hinge", "--optimizer", "sgd:lr=x", "--planner", "magic", "--device", "1"),
    [
      "mutwo: unknown loss: hinge (one of ce, mse, l1, bce, sum)",
      "mutwo: setting lr of sgd is not a number: x",
      "mutwo: a device is for the cuda backend: 1",
      "mutwo: unknown planner: magic (one of best, optimal, mutwo, capuchin, sqrt, checkmate, keepAll, recomputeAll, swapAll)",
      "mutwo: output folder not writable: x",
    ],
  );
});
