import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { Command, Option } from "commander";
import { completionScript } from "../../src/commands/completion-script.js";

/** A program with all that is completed: commands in commands, choices, names that are only known elsewhere, arguments. */
function toy(): Command {
  const root = new Command("toy").option("--no-color", "no colours");
  root
    .command("run <file>")
    .description("runs")
    .option("--loss <name>", "a loss: [ce], 'mse'")
    .addOption(new Option("--format <format>", "how").choices(["one", "two"]))
    .option("-p, --parameter <name=value>", "a parameter");
  root.command("cuda").command("install").option("--dir <dir>", "where");
  return root;
}

const values = (option: Option): readonly string[] =>
  option.argChoices ?? (option.long === "--loss" ? ["ce", "mse"] : []);

const script = (shell: "bash" | "zsh"): string => completionScript(shell, toy(), values);

const hasBash = spawnSync("bash", ["--version"]).status === 0;
const hasZsh = spawnSync("zsh", ["--version"]).status === 0;

test("completionScript(bash) completes commands, their options and values, and leaves the rest to files", {
  skip: !hasBash && "no bash",
}, () => {
  const ask = (...words: string[]): string[] => {
    const probe = `${script("bash")}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _toy; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync("bash", ["--norc", "-c", probe, "bash", ...words], { encoding: "utf8" });
    assert.equal(stderr, "");
    return stdout.split("\n").filter(Boolean);
  };
  assert.deepEqual(ask("toy", ""), ["run", "cuda"]);
  assert.deepEqual(ask("toy", "r"), ["run"]);
  assert.deepEqual(ask("toy", "cuda", ""), ["install"]);
  assert.deepEqual(ask("toy", "cuda", "install", "--"), ["--dir", "--help"]);
  assert.deepEqual(ask("toy", "run", "model.onnx", "--lo"), ["--loss"]);
  assert.deepEqual(ask("toy", "run", "model.onnx", "--loss", ""), ["ce", "mse"]);
  assert.deepEqual(ask("toy", "run", "model.onnx", "--loss", "ce", "--format", "t"), ["two"]);
  assert.deepEqual(ask("toy", "run", "m"), []);
  assert.deepEqual(ask("toy", "run", "-p", ""), []);
});

test("completionScript(zsh) describes every option of each command, in a script that zsh reads", () => {
  const text = script("zsh");
  assert.match(text, /^#compdef toy\n/);
  assert.match(text, /' cuda install'\) _arguments '\*--dir\[where\]:value:_files'/);
  assert.match(text, /'\*--format\[how\]:value:\(one two\)'/);
  assert.ok(text.includes(String.raw`'*--loss[a loss\: \[ce\], '\''mse'\'']:value:(ce mse)'`));
  if (!hasZsh) return;
  const { status, stderr } = spawnSync("zsh", ["-f", "-n", "-c", text], { encoding: "utf8" });
  assert.deepEqual([status, stderr], [0, ""]);
});
