import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { test } from "node:test";
import { at } from "./at.js";
import { program } from "./program.js";

const run = at("golden/mlp-cpu/run.json");

/** Commands that write to stdout, one with more than a pipe holds. */
const commands: readonly (readonly string[])[] = [
  ["show", at("fixtures/resnet_bottleneck_dynamic.onnx"), "--loss", "ce", "--optimizer", "adam", "--dim", "batch=2"],
  ["--help"],
  ["completion", "zsh"],
  ["help", "losses"],
  ["show", run, "--planned"],
  ["inspect", at("fixtures/resnet18.onnx")],
  ["inspect", at("fixtures/resnet18.onnx"), "--json"],
];

const linux = process.platform === "linux";

test("mutwo … | head -1 ends quietly", { skip: !linux && "for Linux only" }, () => {
  for (const words of commands) {
    const { stdout, stderr } = spawnSync(
      "sh",
      ["-c", '{ "$@"; echo "status $?" >&2; } | head -1', "sh", process.execPath, ...program, ...words],
      { encoding: "utf8" },
    );
    assert.equal(stderr, "status 0\n", words.join(" "));
    assert.match(stdout, /^.+\n$/);
  }
});

test("mutwo … with a reader that is gone before anything is written: no stack", {
  skip: !linux && "for Linux only",
}, () => {
  for (const words of commands) {
    const { stderr } = spawnSync(
      "sh",
      ["-c", '{ sleep 0.2; "$@"; echo "status $?" >&2; } | true', "sh", process.execPath, ...program, ...words],
      { encoding: "utf8" },
    );
    assert.equal(stderr, "status 0\n", words.join(" "));
  }
});

test("mutwo … > /dev/full says that the disk is full: one line, exit status 2", {
  skip: !existsSync("/dev/full") && "no /dev/full",
}, () => {
  for (const words of commands) {
    const full = openSync("/dev/full", "w");
    const { status, stderr } = spawnSync(process.execPath, [...program, ...words], {
      encoding: "utf8",
      stdio: ["ignore", full, "pipe"],
    });
    closeSync(full);
    assert.deepEqual([status, stderr], [2, "mutwo: cannot write to stdout: disk full\n"], words.join(" "));
  }
});

test("mutwo … 2> /dev/full ends as it would: nobody could read more", {
  skip: !existsSync("/dev/full") && "no /dev/full",
}, () => {
  for (const [words, expected] of [
    [["inspect", at("fixtures/resnet18.onnx")], 0],
    [["inspect", "none.onnx"], 2],
  ] as const) {
    const full = openSync("/dev/full", "w");
    const { status } = spawnSync(process.execPath, [...program, ...words], { stdio: ["ignore", "ignore", full] });
    closeSync(full);
    assert.equal(status, expected, words.join(" "));
  }
});
