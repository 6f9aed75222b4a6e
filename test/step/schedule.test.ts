import assert from "node:assert/strict";
import { test } from "node:test";
import { checkSchedule, checkScheduleFits, scheduleNames, scheduleOf } from "../../src/step/schedule.js";

const length = { total: 10, epoch: 4 };

const rates = (text: string, steps: readonly number[], base = 1): number[] =>
  steps.map((step) => Number(scheduleOf(text, length)(base, step).toFixed(12)));

test("scheduleOf(constant) is the optimizer's own rate, reached in a straight line by warmup", () => {
  assert.deepEqual(rates("constant", [0, 5, 99], 0.25), [0.25, 0.25, 0.25]);
  assert.deepEqual(rates("constant:warmup=4", [0, 1, 2, 3, 4, 9]), [0.25, 0.5, 0.75, 1, 1, 1]);
});

test("scheduleOf(linear) falls to 0 at the end of the training, or at total", () => {
  assert.deepEqual(rates("linear", [0, 5, 10, 11]), [1, 0.5, 0, 0]);
  assert.deepEqual(rates("linear:warmup=2,total=6", [0, 1, 2, 4, 6]), [0.5, 1, 1, 0.5, 0]);
});

test("scheduleOf(cosine) is SGDR's equation 5: half way down in the middle, then min", () => {
  assert.deepEqual(rates("cosine", [0, 5, 10]), [1, 0.5, 0]);
  assert.deepEqual(rates("cosine:min=0.2,warmup=2", [1, 2, 6, 10, 50]), [1, 1, 0.6, 0.2, 0.2]);
  assert.deepEqual(rates("cosine", [2]), [Number((0.5 * (1 + Math.cos(Math.PI / 5))).toFixed(12))]);
});

test("scheduleOf(step, exponential) fall by gamma every so many steps, an epoch unless told otherwise", () => {
  assert.deepEqual(rates("step", [0, 3, 4, 8]), [1, 1, 0.1, 0.01]);
  assert.deepEqual(rates("step:every=2,gamma=0.5", [0, 1, 2, 5]), [1, 1, 0.5, 0.25]);
  assert.deepEqual(rates("exponential:gamma=0.25,every=2", [0, 1, 2, 4]), [1, 0.5, 0.25, 0.0625]);
  assert.deepEqual(rates("exponential", [4]), [0.9]);
});

test("a schedule whose warmup is the whole training ends at the optimizer's rate", () =>
  assert.deepEqual(rates("linear:warmup=10,total=10", [8, 9, 10]), [0.9, 1, 0]));

const wrong: readonly (readonly [text: string, message: string])[] = [
  ["cosin", `unknown schedule: cosin (one of ${scheduleNames.join(", ")})`],
  ["__proto__", `unknown schedule: __proto__ (one of ${scheduleNames.join(", ")})`],
  ["constant:total=5", "unknown setting of constant: total (one of warmup)"],
  ["cosine:warmup", "not a setting (key=value): warmup"],
  ["cosine:warmup=a", "setting warmup of cosine is not a number: a"],
  ["cosine:warmup=-1", "warmup of schedule cosine is not a whole number of steps from 0 on: -1"],
  ["linear:total=1.5", "total of schedule linear is not a whole number of steps from 1 on: 1.5"],
  ["linear:warmup=10,total=5", "warmup of schedule linear is longer than its total: 10 > 5"],
  ["step:gamma=0", "gamma of schedule step is not a positive number: 0"],
  ["cosine:min=-1", "min of schedule cosine is not a learning rate from 0 on: -1"],
];

for (const [text, message] of wrong)
  test(`checkSchedule(${text}) refuses it`, () => assert.throws(() => checkSchedule(text), { message }));

test("checkScheduleFits(text, base) refuses a least rate above the optimizer's", () => {
  assert.doesNotThrow(() => checkScheduleFits("cosine:warmup=100,min=0.1", 0.1));
  assert.throws(() => checkScheduleFits("cosine:min=9", 0.1), {
    message: "min of schedule cosine is above the optimizer's learning rate: 9 > 0.1",
  });
});
