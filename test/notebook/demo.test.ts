import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { demoFile } from "../../src/notebook/demo.js";
import { at } from "../at.js";

test("demoFile(name) is a path of a file that ships; other names are refused with those that there are", () => {
  assert.ok(readFileSync(demoFile("resnet18.onnx")).length > 10_000);
  assert.throws(
    () => demoFile("../01-profile.ipynb"),
    /^Error: no demonstration file: \.\.\/01-profile\.ipynb \(there are digits\.onnx, resnet18\.onnx, /,
  );
});

test("the demonstration files are those that are tested", () => {
  for (const [name, tested] of [
    ["resnet18.onnx", "fixtures/resnet18.onnx"],
    ["resnet50.onnx", "fixtures/full/resnet50.onnx"],
    ["resnet50.recording", "recordings/resnet50.recording"],
  ] as const)
    assert.ok(readFileSync(demoFile(name)).equals(readFileSync(at(tested))), `copy test/${tested} to notebooks/demo`);
});
