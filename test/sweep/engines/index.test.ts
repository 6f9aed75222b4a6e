import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { engineOf, engineSettings, engines } from "../../../src/sweep/engines/index.js";
import { at } from "../../at.js";

test("an engine is a file of at most 60 lines, has a help topic that tells all its settings, and its own name", () => {
  for (const [name, engine] of Object.entries(engines)) {
    const text = readFileSync(at(`../src/sweep/engines/${name}.ts`), "utf8");
    assert.ok(text.trimEnd().split("\n").length <= 60, name);
    assert.equal(engine.name, name);
    const help = readFileSync(at(`../templates/help/${name}.md`), "utf8");
    for (const setting of Object.keys(engine.settings))
      if (setting !== "*") assert.match(help, new RegExp(`\\b${setting}\\b`));
  }
});

test("engineOf() and engineSettings() take what there is, and say what there is for the rest", () => {
  assert.equal(engineOf("ray"), engines.ray);
  for (const name of ["pbs", "toString"])
    assert.throws(() => engineOf(name), /^Error: unknown engine: \w+ \(use slurm, bullmq, ray, kubernetes\)$/);
  assert.deepEqual(
    engineSettings(engines.slurm, ["partition=gpu", "exclusive", "export=A=1,B=2", "mutwo=srun mutwo"]),
    {
      ...{ partition: "gpu", exclusive: "", export: "A=1,B=2", mutwo: "srun mutwo" },
    },
  );
  assert.throws(() => engineSettings(engines.ray, ["adress=x"]), /^Error: ray has no setting adress, but address \(/);
});
