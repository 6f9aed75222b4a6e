import assert from "node:assert/strict";
import { test } from "node:test";
import { Pace } from "../../src/train/pace.js";

test("Pace says samples a second of the last steps and what is left, validations counted", async () => {
  const pace = new Pace();
  pace.start();
  let spent = 0;
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 15));
    spent += pace.step();
  }
  assert.ok(spent >= 40 && spent < 2000);
  assert.ok(Math.abs(pace.samplesPerSecond(8) - (1000 * 8 * 3) / spent) < 1e-6);
  assert.ok(Math.abs(pace.leftMs(3, 9) - 2 * spent) < 1e-6);
  pace.validated(100, 3);
  assert.ok(Math.abs(pace.leftMs(3, 9) - (2 * spent + 200)) < 1e-6);
  assert.equal(pace.leftMs(9, 9), 0);
});

test("Pace.isDue is true once in so many ms", () => {
  const pace = new Pace();
  pace.start();
  assert.equal(pace.isDue(60_000), true);
  pace.step();
  assert.equal(pace.isDue(60_000), false);
  assert.equal(pace.isDue(0), true);
});
