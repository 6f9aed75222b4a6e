import assert from "node:assert/strict";
import { test } from "node:test";
import { settingsIn } from "../../src/sweep/settings.js";

const alone = (raw: unknown): readonly unknown[] => [raw];

test("settingsIn(part, …): values as the options have them; dimensions by their names, null for nothing", () => {
  const part = {
    dims: { batch: 4 },
    budget: "60%",
    seed: 3,
    keep: "*a*",
    freeze: ["x", "y"],
    tf32: false,
    loss: null,
    clipNorm: 0.5,
    execute: true,
  };
  assert.deepEqual(settingsIn(part, "", ".", alone), {
    "dims.batch": [4],
    budget: ["60%"],
    seed: [3],
    keep: [["*a*"]],
    freeze: [["x", "y"]],
    tf32: [false],
    loss: [undefined],
    clipNorm: [0.5],
    execute: [true],
  });
});

test("settingsIn(part, …): files beside the spec, wherever the points are done", () => {
  assert.deepEqual(settingsIn({ model: "m.onnx", backend: "replay:r.json", deviceSpec: "h100" }, "", "/a/b", alone), {
    model: ["/a/b/m.onnx"],
    backend: ["replay:/a/b/r.json"],
    deviceSpec: ["h100"],
  });
});

test("settingsIn(part, …): one line for what is no setting, and for values that are none", () => {
  const of = (part: unknown) => () => settingsIn(part, "grid", ".", alone, ["extra"]);
  assert.throws(of({ batch: 4 }), /^Error: unknown key: grid\.batch \(nearest: /);
  assert.throws(of({ __proto__x: 4 }), /^Error: unknown key: grid\.__proto__x/);
  assert.throws(of({ toString: 4 }), /^Error: unknown key: grid\.toString/);
  assert.throws(of([1]), /^Error: grid is \[1\], not keys with values/);
  assert.throws(of({ seed: "x" }), /^Error: grid\.seed is "x", not a whole number from 0 on/);
  assert.throws(of({ batchNorm: "x" }), /^Error: grid\.batchNorm is "x": Allowed choices are training, inference\./);
  assert.throws(of({ dims: { batch: 1.5 } }), /^Error: grid\.dims\.batch is 1\.5, not a whole number from 1 on/);
  assert.throws(of({ model: 4 }), /^Error: grid\.model is 4, not a path/);
});
