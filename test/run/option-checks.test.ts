import assert from "node:assert/strict";
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { checkOptions } from "../../src/run/option-checks.js";
import { optionsOf } from "../../src/run/options.js";
import { profileModel } from "../../src/run/pipeline.js";
import { planRun } from "../../src/run/replan.js";
import type { Run } from "../../src/run/run.js";
import { verifyModel } from "../../src/run/verify.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-options-"));

const right = { loss: "ce", optimizer: "sgd" };

/** The problems that a check lists. */
function problems(given: object): string[] {
  try {
    checkOptions("profile", { ...right, ...given });
  } catch (error) {
    return (error as Error).message.split("; ");
  }
  return [];
}

test("profileModel, planRun and verifyModel list all that is missing, wrong or unknown before anything is read", async () => {
  const none = "no model.onnx";
  await assert.rejects(
    profileModel(none, { loss: "hinge", optimiser: "sgd", budget: "lots", planner: "magic" } as never),
    {
      name: "WrongOptions",
      message:
        "missing option: optimizer; unknown option: optimiser (did you mean optimizer?); unknown loss: hinge (one of ce, mse, l1, bce, sum); budget is not a size: lots (use 4GiB, 500MB or 60%); unknown planner: magic (one of best, optimal, mutwo, capuchin, sqrt, checkmate, keepAll, recomputeAll, swapAll)",
    },
  );
  await assert.rejects(verifyModel(none, { reference: "none", loss: "ce:axis=x", tf32: false }), {
    message:
      "cannot read safetensors: none (ENOENT); setting axis of ce is not a number: x; TF32 is for the cuda backend: no TF32",
  });
  assert.throws(() => planRun({} as Run, { budget: "0", planer: "mutwo" } as never), {
    message: "unknown option: planer (did you mean planner?); budget is not a size: 0 (use 4GiB, 500MB or 60%)",
  });
});

const wrong: readonly (readonly [given: object, problem: string])[] = [
  [{ loss: "ce:label_smoothing=2" }, "label_smoothing of ce is not from 0 to 1: 2"],
  [{ loss: "ce:ignore_index=0.5" }, "ignore_index of ce is not a whole number: 0.5"],
  [{ loss: "mse:axis=1" }, "unknown setting of mse: axis (it has none)"],
  [{ optimizer: "lion" }, "unknown optimizer: lion (one of sgd, adam, adamw)"],
  [{ optimizer: "sgd:nesterov=true,momentum=0" }, "nesterov of sgd needs a momentum above 0: 0"],
  [{ optimizer: "adam:betas=0.9" }, "setting betas of adam is not two numbers: 0.9"],
  [{ precision: "half" }, "unknown precision: half (one of mixed, float64)"],
  [{ precision: "mixed:type=int8" }, "type of mixed precision is not float16 or bfloat16: int8"],
  [{ precision: "mixed:loss_scale=0" }, "loss_scale is not positive: 0"],
  [{ accumulate: 0 }, "micro-batches to accumulate are not a positive whole number: 0"],
  [{ clipNorm: -1 }, "norm to clip to is not positive: -1"],
  [{ freeze: [""] }, "pattern of frozen parameters is empty"],
  [{ batchNorm: "frozen" }, "batchNorm is not one of training, inference: frozen"],
  [{ dims: { batch: 0 } }, 'dims is not positive whole numbers by name: {"batch":0}'],
  [{ backend: "tpu" }, "unknown backend: tpu (one of cpu, cuda, estimate, replay:FILE)"],
  [{ backend: "replay:none" }, "cannot read recording: none (ENOENT)"],
  [{ backend: "estimate" }, "the estimate backend needs a device: none (profile and show take --device-spec h100)"],
  [
    { backend: "estimate", deviceSpec: "h999" },
    "unknown device: h999 (one of h100, h200, a100, l4, rtx4090, or a FILE.json)",
  ],
  [{ deviceSpec: "h100" }, "a device spec is for the estimate backend: h100"],
  [{ backend: "estimate", deviceSpec: "h100", record: "x" }, "the estimate backend measures nothing to record: x"],
  [{ record: folder }, `recording not writable: ${folder} (EISDIR)`],
  [{ threads: 2, backend: "cuda" }, "threads are for the cpu backend: 2"],
  [{ planner: "mutwo" }, "planner needs a budget: mutwo (pass --budget 4GiB)"],
  [{ iterations: 0.5 }, "iterations is not a whole number from 1 on: 0.5"],
  [{ seed: -1 }, "seed is not a whole number from 0 on: -1"],
];

for (const [given, problem] of wrong)
  test(`checkOptions("profile", ${JSON.stringify(given).replace(folder, "FOLDER")}) refuses it`, () =>
    assert.deepEqual(problems(given), [problem]));

for (const [name, { kind }] of optionsOf("profile"))
  test(`checkOptions("profile", {${name}}) refuses a value of another type`, () => {
    const value = kind.includes(true) ? "yes" : true;
    assert.deepEqual(problems({ [name]: value }), [`${name} is not ${kind.expected}: ${value}`]);
    assert.equal(problems({ [name]: null }).length, 1);
  });

test("checkOptions leaves a recording that is there as it is, and makes none", () => {
  const [there, fresh] = [path.join(folder, "there"), path.join(folder, "fresh")];
  writeFileSync(there, "a recording");
  assert.deepEqual(problems({ record: there, backend: `replay:${there}`, device: 1 }), []);
  assert.deepEqual(problems({ record: fresh, command: "mutwo", budget: undefined, planner: undefined }), []);
  assert.equal(existsSync(fresh), false);
});
