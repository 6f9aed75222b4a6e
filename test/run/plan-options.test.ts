import assert from "node:assert/strict";
import { test } from "node:test";
import { wrongOptions } from "../../src/run/option-checks.js";
import type { Given } from "../../src/run/option-kinds.js";
import { planOptions } from "../../src/run/plan-options.js";

const wrong = (given: Given): string[] => wrongOptions("plan", given);

test("options that only say how is planned want something to plan for", () => {
  for (const [name, value] of [
    ["keep", ["*"]],
    ["swap", false],
    ["recompute", false],
    ["hostMemory", "1GiB"],
  ] as const) {
    assert.deepEqual(wrong({ [name]: value }), [`nothing is planned: ${name} (pass --budget 4GiB)`]);
    for (const goal of [{ budget: "60%" }, { maxSlowdown: "10%" }, { planner: "swapAll" }])
      assert.deepEqual(wrong({ ...goal, [name]: value }), []);
  }
});

test("a limit of time stands in for a budget", () => {
  assert.deepEqual(wrong({ planner: "best", maxSlowdown: "5%" }), []);
  assert.deepEqual(wrong({ planner: "best" }), ["planner needs a budget: best (pass --budget 4GiB)"]);
});

test("only mutwo has variants, and the printed one needs a budget", () => {
  const budget = "60%";
  assert.deepEqual(wrong({ budget, variant: "printed" }), [
    "only planner mutwo has variants: printed (pass --planner mutwo)",
  ]);
  assert.deepEqual(wrong({ planner: "mutwo", maxSlowdown: "5%", variant: "printed" }), [
    "planner needs a budget: mutwo, variant printed (pass --budget 4GiB)",
  ]);
  assert.deepEqual(wrong({ budget, planner: "mutwo", variant: "letter" }), [
    "variant is not one of printed, mended: letter",
  ]);
  assert.deepEqual(wrong({ budget, planner: "mutwo", variant: "printed" }), []);
});

test("sizes, shares and limits of time that are none are refused", () => {
  const budget = "60%";
  assert.deepEqual(wrong({ maxSlowdown: "-1%" }), ["slowdown is not a share: -1% (use 10%)"]);
  assert.deepEqual(wrong({ budget, hostMemory: "50%" }), ["host memory is not a size: 50% (use 16GiB or 500MB)"]);
  assert.deepEqual(wrong({ budget, timeLimit: 0 }), ["timeLimit is not a positive number: 0"]);
  assert.deepEqual(wrong({ budget, moves: 0.5 }), ["moves is not a whole number from 1 on: 0.5"]);
});

test("planOptions: profile, plan and training take the same, but for what only a saved run is asked", () => {
  for (const [name, { commands }] of Object.entries(planOptions))
    assert.deepEqual(commands, name === "sweep" || name === "fit" ? ["plan"] : ["profile", "plan", "train", "trainer"]);
});

test("a sweep stands in for a budget, and goes with none, nor with one planner", () => {
  const refused = (what: string) => [`--sweep takes every planner and budget: ${what} (leave one of them out)`];
  assert.deepEqual(wrong({ sweep: true, planner: "best", keep: ["*"], swap: false, hostMemory: "1GiB" }), []);
  assert.deepEqual(wrong({ sweep: true, budget: "60%" }), refused("--budget 60%"));
  assert.deepEqual(wrong({ sweep: true, maxSlowdown: "5%" }), refused("--max-slowdown 5%"));
  assert.deepEqual(wrong({ sweep: true, planner: "mutwo" }), refused("--planner mutwo"));
  assert.deepEqual(wrong({ sweep: false, budget: "60%" }), []);
});

test("a fit stands in for a budget, and goes with none", () => {
  const refused = ["--fit has a budget of its own: 1GiB (leave --budget and --sweep out)"];
  assert.deepEqual(wrong({ fit: "1GiB", planner: "best", maxSlowdown: "10%", keep: ["*"] }), []);
  assert.deepEqual(wrong({ fit: "1GiB", budget: "60%" }), refused);
  assert.deepEqual(wrong({ fit: "1GiB", sweep: true }), refused);
});
