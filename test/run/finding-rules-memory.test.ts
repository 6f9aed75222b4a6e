import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryRules } from "../../src/run/finding-rules-memory.js";
import { findingsOf } from "../../src/run/findings.js";
import { profileModel } from "../../src/run/pipeline.js";
import type { Run } from "../../src/run/run.js";
import { at } from "../at.js";
import { gpt2, mlp, onDevice, profiled, resnet, testRules, unplanned } from "../rule-cases.js";

const { peakBytes } = mlp.before.timeline;
const activation = mlp.before.activations[0]?.name ?? "";
const holder = { name: activation, category: "activation", bytes: peakBytes / 2, producer: null } as const;

const withoutCopies = (run: Run): Run => profiled(run, { copies: null });

testRules(
  memoryRules.filter(({ name }) => name !== "logits-set-peak"),
  {
    "update-sets-peak": { fires: mlp, says: /at update\/Sub_3@slice1 in mod .* need \d+ KiB less/, quiet: resnet },
    "one-tensor-third": {
      fires: profiled(unplanned(mlp), { peakHolders: [holder] }),
      says: /in mod.* is \d+ KiB, 50\.\d % of the unplanned peak/,
      quiet: unplanned(mlp),
    },
    "optimizer-state": {
      fires: gpt2,
      says: /546 KiB of the planned peak \(47\.8 %\) are state of adam/,
      quiet: resnet,
    },
    "resident-holds-peak": {
      fires: profiled(unplanned(mlp), { timeline: { ...mlp.before.timeline, residentBytes: 0.9 * peakBytes } }),
      says: /90\.0 % of the unplanned peak/,
      quiet: resnet,
    },
    "idle-swap": {
      fires: unplanned(resnet),
      says: /55 activations are idle .* in m\.resnet.* a copy takes/,
      quiet: unplanned(mlp),
    },
    "idle-recompute": {
      fires: withoutCopies(unplanned(resnet)),
      says: /activations of .* are idle at the peak/,
      quiet: unplanned(resnet),
    },
    "micro-batches": {
      fires: unplanned(resnet),
      says: /about 8\d\d KiB instead of 1\.29 MiB \(estimated\)/,
      quiet: resnet,
    },
    workspace: { fires: profiled(resnet, { workspaceBytes: 2 ** 20 }), says: /1\.00 MiB of workspace/, quiet: resnet },
    "layout-waste": {
      fires: profiled(unplanned(resnet), { arenaBytes: 1.1 * resnet.before.timeline.peakBytes }),
      says: /\(10\.0 %\) more/,
      quiet: unplanned(resnet),
    },
    "larger-batch": {
      fires: resnet,
      says: /512 instead of 8 samples/,
      quiet: onDevice(resnet, { memoryBytes: 2 ** 20 }),
    },
  },
);

test("findings: rule logits-set-peak fires where the loss's logits hold the peak, and only there", async () => {
  const run = await profileModel(at("fixtures/full/gpt2_small.onnx"), {
    loss: "ce",
    optimizer: "adam:lr=1e-4",
    dims: { batch: 8 },
    backend: `replay:${at("recordings/gpt2_small.recording")}`,
  });
  const found = findingsOf(run).find(({ rule }) => rule === "logits-set-peak");
  assert.match(found?.evidence ?? "", /1 tensor as large as the logits: 785 MiB/);
  assert.equal(found?.flags, "--loss ce:chunks=8");
  assert.ok(!findingsOf(gpt2).some(({ rule }) => rule === "logits-set-peak"));
});
