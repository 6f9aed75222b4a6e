import assert from "node:assert/strict";
import { after, test } from "node:test";
import { sideBySide } from "../../src/run/arrange.js";
import { buildTrials } from "../../src/run/build-trials.js";
import { trialsOf } from "../../src/run/trials.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { JointTraining } from "../../src/train/joint-training.js";
import { at } from "../at.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const built = (options: object) =>
  buildTrials(trialsOf(at("fixtures/mlp.ts.onnx"), { loss: "ce", optimizer: "sgd", ...options }), runtime);

test("JointTraining.stepOf(name).run() waits for all models that are left; what is written of one is read of it alone", async () => {
  const trials = built({ copies: 2 });
  const arrange = (left: typeof trials) => sideBySide(runtime, left, Number.POSITIVE_INFINITY).graph;
  const joint = new JointTraining({
    runtime,
    trials,
    arrange: (left) => arrange([...left]),
    decisions: [],
    states: [],
  });
  const [one, other] = ["m0", "m1"].map((name) => joint.stepOf(name)) as [
    ReturnType<typeof joint.stepOf>,
    ReturnType<typeof joint.stepOf>,
  ];
  const input = new Uint8Array(16 * 100 * 4);
  one.write("input", input);
  assert.deepEqual(one.read("input"), input);
  assert.notDeepEqual(other.read("input"), input);
  assert.throws(() => one.write("input", new Uint8Array(4)), /^Error: size mismatch: input has 6400 bytes, not 4$/);
  let ran = false;
  const first = one.run().then(() => {
    ran = true;
  });
  await new Promise(setImmediate);
  assert.equal(ran, false);
  await Promise.all([first, other.run()]);
  assert.ok(ran);
  other.close();
  await one.run();
  one.close();
});
