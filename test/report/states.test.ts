import assert from "node:assert/strict";
import { test } from "node:test";
import type { StateDecision } from "../../src/plan/plan.js";
import { stateBytes, stateRows, statesLine } from "../../src/report/states.js";

const state = (name: string, bytes: number): StateDecision => ({
  state: name,
  bytes,
  swapMs: 2,
  idleMs: 30,
  why: `why ${name}`,
});

test("statesLine(plan) names states of one model, and of several the models", () => {
  assert.equal(statesLine({}), undefined);
  assert.equal(
    statesLine({ states: [state("parameters.m", 2 ** 20), state("parameters.v", 2 ** 20)] }),
    "parameters.m, parameters.v on the host between uses (2.00 MiB)",
  );
  const models = Array.from({ length: 8 }, (_, i) => state(`m${i}/parameters`, 2 ** 20));
  assert.equal(statesLine({ states: models.slice(0, 2) }), "states of m0, m1 on the host between uses (2.00 MiB)");
  assert.match(statesLine({ states: models }) ?? "", /^states of m0, m1, m2, m3, m4, m5 and 2 more on the host/);
});

test("stateRows(plan) has a row for each model", () => {
  const states = [state("m1/parameters", 100), state("m1/parameters.m", 200), state("m3/parameters", 50)];
  assert.equal(stateBytes({ states }), 350);
  assert.deepEqual(
    stateRows({ states }).map(({ owner, states: names, bytes, copy, why }) => [owner, names, bytes, copy, why]),
    [
      ["m1", "parameters, parameters.m", "300 B", "4.00 ms", "why m1/parameters.m"],
      ["m3", "parameters", "50 B", "2.00 ms", "why m3/parameters"],
    ],
  );
  assert.deepEqual(stateRows({}), []);
});
