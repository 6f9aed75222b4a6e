import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { Command } from "commander";
import { withOptions } from "../../src/commands/options.js";
import { severities } from "../../src/run/finding.js";
import { findingsOf, headFindings, rules } from "../../src/run/findings.js";
import { wrongOptions } from "../../src/run/option-checks.js";
import { commandOf } from "../../src/run/option-forms.js";
import type { OptionsOf } from "../../src/run/options.js";
import type { Run } from "../../src/run/run.js";
import { gpt2, mlp, onDevice, profiled, resnet, unplanned } from "../rule-cases.js";
import { randoms } from "../sampled.js";

const golden = [resnet, gpt2, mlp];

const edited: readonly Run[] = [
  ...golden,
  ...golden.map(unplanned),
  { ...resnet, plan: resnet.plan && { ...resnet.plan, feasible: false, budgetBytes: 1, planner: "best" } },
  { ...resnet, plan: resnet.plan && { ...resnet.plan, bound: { addedMs: 0, proven: true } } },
  onDevice(resnet, { memoryBytes: 2 ** 20, settings: { TF32: "off", deterministic: "yes" } }),
  profiled(unplanned(resnet), { copies: null, losses: [null], estimated: true, backend: "estimate" }),
  { ...mlp, equality: mlp.equality && { ...mlp.equality, different: ["x"] } },
];

/** The words that a shell makes of a command line. */
const shellWords = (command: string): string[] =>
  execFileSync("sh", ["-c", `set -- ${command}; printf '%s\\0' "$@"`], { encoding: "utf8" })
    .split("\0")
    .slice(0, -1);

test("rules: at least 20, each of a name of its own", () => {
  assert.ok(rules.length >= 20);
  assert.equal(new Set(rules.map(({ name }) => name)).size, rules.length);
});

test("findingsOf(run): every command parses, and its options are those that it is tried with", async () => {
  const commands = new Map(
    edited.flatMap((run) =>
      findingsOf(run).flatMap((one) => (one.command ? [[one.command, one.options] as const] : [])),
    ),
  );
  assert.ok(commands.size > 15);
  for (const [command, options] of commands) {
    const [mutwo, profile, ...words] = shellWords(command);
    const [file = ""] = words;
    assert.deepEqual([mutwo, profile], ["mutwo", "profile"]);
    let parsed: OptionsOf<"profile"> | undefined;
    const root = new Command("profile").argument("<model>").exitOverride();
    withOptions(root, "profile", async (_, given) => {
      parsed = given;
    });
    if (/--backend estimate(?!.*--device-spec)/.test(command)) continue; // the run's own command names no device
    await root.parseAsync(words, { from: "user" });
    assert.ok(parsed, command);
    assert.deepEqual(wrongOptions("profile", parsed), [], command);
    if (options) assert.equal(commandOf("profile", file, options), command);
  }
});

test("findingsOf(run): problems before advice before notes; the first ones change each option once", () => {
  for (const run of edited) {
    const ranks = findingsOf(run).map(({ severity }) => severities.indexOf(severity));
    assert.deepEqual(ranks, [...ranks].sort());
    const flags = headFindings(run).flatMap((one) => one.flags ?? []);
    assert.equal(new Set(flags).size, flags.length);
    assert.ok(headFindings(run).length <= 6 && headFindings(run).every(({ severity }) => severity !== "note"));
  }
});

test("findingsOf(run): a planned step's findings name modules, and nothing is said of tables' commands", () => {
  assert.ok(findingsOf(resnet).some(({ module }) => module?.startsWith("m.resnet")));
  const read = profiled(resnet, { backend: "tables" });
  assert.ok(findingsOf(read).every(({ command, options }) => command === undefined && options === undefined));
});

/** A value in place of one of a run's: numbers that are 0 or huge, lists that are empty, parts that are not there. */
function disturbed(value: unknown, chance: () => number): unknown {
  if (typeof value === "number") {
    const draw = chance();
    return draw < 0.02 ? 0 : draw < 0.04 ? value * 1000 : value;
  }
  if (Array.isArray(value) || value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, disturbed(inner, chance)]));
}

test("findingsOf(run) of runs with other numbers never throws, and says no NaN", () => {
  const chance = randoms(15);
  for (let i = 0; i < 60; i++) {
    const run = edited[i % edited.length] as Run;
    const nodes = run.before.nodes.map((row) => disturbed(row, chance) as typeof row);
    const before = {
      ...(disturbed(run.before, chance) as Run["before"]),
      nodes: nodes.map((row, rank) => ({ ...row, rank })),
      timeline: run.before.timeline,
    };
    const plan = run.plan && {
      ...(disturbed(run.plan, chance) as NonNullable<Run["plan"]>),
      decisions: run.plan.decisions,
    };
    for (const finding of findingsOf({ ...run, before, plan })) {
      assert.ok(!/NaN(?! or)|undefined|Infinity/.test(JSON.stringify(finding)), JSON.stringify(finding));
      assert.ok(finding.gainBytes !== null && finding.gainMs !== null);
    }
  }
});
