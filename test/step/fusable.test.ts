import assert from "node:assert/strict";
import { after, test } from "node:test";
import { openCpu } from "../../src/runtime/cpu.js";
import { type FusedMember, notFusable } from "../../src/step/fusable.js";
import { fuseTrials } from "../../src/step/fused-trials.js";
import type { StepOptions } from "../../src/step/training.js";
import { perceptron } from "../fused.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const sgd: StepOptions = { loss: "ce", optimizer: "sgd:lr=0.01" };

test("notFusable(…) says in a line why models cannot share a graph", () => {
  const graph = perceptron(4, 6, 2);
  const why = (other: Partial<FusedMember> & { options?: StepOptions }): string | undefined =>
    notFusable(cpu, [
      { name: "m0", graph, options: sgd, seed: 0 },
      { name: "m1", graph, options: sgd, seed: 1, ...other },
    ]);
  assert.equal(why({}), undefined);
  assert.equal(why({ options: { ...sgd, optimizer: "sgd:lr=0.5", loss: "ce:label_smoothing=0" } }), undefined);
  assert.match(why({ graph: perceptron(4, 6, 3) }) ?? "", /^m1 is built otherwise than m0: \d+ nodes, not \d+$/);
  assert.match(why({ graph: perceptron(4, 7, 2) }) ?? "", /^m1 is built otherwise than m0: node p0 \(Gemm\): x is/);
  assert.equal(why({ options: { ...sgd, optimizer: "adam" } }), "m1 has optimizer adam, not sgd");
  assert.match(why({ options: { ...sgd, optimizer: "sgd:nesterov=1" } }) ?? "", /^m1 has nesterov 1 of sgd, not 0$/);
  assert.equal(why({ options: { ...sgd, loss: "mse" } }), "m1 has another loss than m0");
  assert.equal(why({ options: { ...sgd, accumulate: 2 } }), "m1 has another accumulation than m0");
  assert.equal(why({ options: { ...sgd, clipNorm: 2 } }), "m1 has another clipping than m0");
  assert.equal(why({ options: { ...sgd, precision: "float64" } }), "m1 has another precision than m0");
  assert.equal(why({ options: { ...sgd, freeze: ["w0"] } }), "m1 freezes other parameters");
  assert.throws(
    () =>
      fuseTrials(cpu, [
        { name: "m0", graph, options: sgd, seed: 0 },
        { name: "m3", graph: perceptron(4, 6, 3), options: sgd, seed: 0 },
      ]),
    /^Error: cannot be fused: m3 is built otherwise/,
  );
});
