import assert from "node:assert/strict";
import { test } from "node:test";
import { modelOptions, optionFacts } from "../../src/run/option-forms.js";
import type { Given } from "../../src/run/option-kinds.js";
import { type ModelOptions, optionEntries, optionsOf } from "../../src/run/options.js";
import { besidesOf, sampleOf } from "../option-samples.js";

for (const [name, spec] of optionEntries)
  test(`optionTable.${name} has a default and a sample that it takes, and a flag of its own`, () => {
    const { flag, kind, commands, required, default: value, stated = [] } = spec;
    assert.ok(value === undefined || kind.includes(value), `the default of ${name} is not ${kind.expected}`);
    assert.ok(!required || value === undefined, `a required option has a default: ${name}`);
    assert.ok(!stated.length || value !== undefined, `a default is stated that is not there: ${name}`);
    assert.deepEqual(
      [...stated, ...(required ?? [])].filter((command) => !commands.includes(command)),
      [],
      `${name} is stated or required by a command that does not have it`,
    );
    assert.match(flag, kind.metavar ? /^--(?!no-)[a-z-]+$/ : /^--[a-z0-9-]+$/);
    assert.deepEqual(
      optionEntries.filter(([, other]) => other.flag === flag).map(([other]) => other),
      [name],
      `another option has the flag of ${name}: ${flag}`,
    );
    spec.check?.(sampleOf(name, spec), {
      ...(name === "sweep" || name === "fit" ? {} : { budget: "60%" }),
      ...besidesOf(name),
    });
  });

test("optionsOf(command) are the options that say so, in the table's order", () => {
  const names = (command: "plan" | "verify"): string[] => optionsOf(command).map(([name]) => name);
  assert.deepEqual(names("plan"), [
    "budget",
    "planner",
    "variant",
    "maxSlowdown",
    "sweep",
    "fit",
    "keep",
    "swap",
    "recompute",
    "hostMemory",
    "timeLimit",
    "moves",
  ]);
  assert.deepEqual(names("verify"), [
    "reference",
    "loss",
    "dims",
    "batchNorm",
    "backend",
    "device",
    "tf32",
    "deterministic",
  ]);
});

test("every option that says so stands in run.model, and its fact in the report; no other does", () => {
  const all = Object.fromEntries(optionEntries.map(([name, spec]) => [name, sampleOf(name, spec)]));
  const model = modelOptions(all as unknown as ModelOptions);
  const facts = optionFacts(model);
  for (const [name, { model: stands, fact, kind }] of optionEntries) {
    assert.equal((model as Given)[name], stands && all[name], `the option ${name} in run.model`);
    const rows = facts.filter(([label]) => label === fact).map(([, text]) => text);
    assert.deepEqual(rows, fact ? [kind.say(all[name])] : [], `the fact of the option ${name}: ${rows}`);
  }
  assert.equal(facts.length, optionEntries.filter(([, { fact }]) => fact).length);
});
