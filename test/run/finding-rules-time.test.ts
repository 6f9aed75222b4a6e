import { timeRules } from "../../src/run/finding-rules-time.js";
import type { Run } from "../../src/run/run.js";
import { gpt2, mlp, onDevice, profiled, resnet, testRules, timed, unplanned } from "../rule-cases.js";

const withSetting = (run: Run, name: string, value: string): Run =>
  onDevice(run, { settings: { ...run.before.device.settings, [name]: value } });

const evenly = timed(unplanned(mlp), () => 0.01);

testRules(timeRules, {
  "launch-bound": {
    fires: resnet,
    says: /132 nodes take 351 µs, 71\.3 % of the nodes' time/,
    quiet: mlp,
  },
  "host-launches": { fires: resnet, says: /493 µs .* 2\.34 ms/, quiet: profiled(resnet, { eagerStep: null }) },
  "off-roofline": {
    fires: resnet,
    says: /ConvFilterGradient in m\.resnet\.embedder.* at the peaks of NVIDIA H100/,
    quiet: onDevice(resnet, { name: "another GPU" }),
  },
  "slower-than-its-kind": {
    fires: timed(unplanned(mlp), ({ name }) => (name === "update/Mul" ? 10 : 0.01)),
    says: /update\/Mul in \(update\) \(Mul\) takes 10\.0 ms/,
    quiet: evenly,
  },
  casts: {
    fires: timed(unplanned(mlp), ({ op }) => (op === "Cast" ? 1 : 0.01)),
    says: /10 nodes take 10\.0 ms, 85\.\d % of the nodes' time.* in mod/,
    quiet: evenly,
  },
  movement: { fires: gpt2, says: /28 nodes take 51\.4 µs, 15\.6 %.* in m\.transformer.*Split/, quiet: evenly },
  "update-time": { fires: mlp, says: /102 nodes of adamw:lr=1e-3/, quiet: resnet },
  "one-module": {
    fires: resnet,
    says: /m\.resnet\.encoder\.stages takes 411 µs, 83\.7 %/,
    quiet: timed(resnet, ({ phase }) => (phase === "loss" ? 1 : 0)),
  },
  "tf32-off": { fires: withSetting(resnet, "TF32", "off"), says: /62 nodes take 285 µs/, quiet: resnet },
  "float32-products": {
    fires: resnet,
    says: /62 nodes take 285 µs/,
    quiet: { ...resnet, model: { ...resnet.model, precision: "mixed" } },
  },
  deterministic: { fires: withSetting(resnet, "deterministic", "yes"), says: /the step of 493 µs/, quiet: resnet },
});
