import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "commander";
import { program } from "../../src/commands/program.js";
import { helpOf, problemsOf } from "../command-lines.js";

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
