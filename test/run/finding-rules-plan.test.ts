import type { Plan } from "../../src/plan/plan.js";
import { planRules } from "../../src/run/finding-rules-plan.js";
import type { Run } from "../../src/run/run.js";
import { gpt2, mlp, onDevice, resnet, testRules, unplanned } from "../rule-cases.js";

const planned = (run: Run, changed: Partial<Plan>): Run => ({ ...run, plan: run.plan && { ...run.plan, ...changed } });

const infeasible = planned(resnet, { feasible: false, budgetBytes: 400_000 });

const other = { planner: "best", feasible: true, peakBytes: 1, addedMs: 0, recomputed: 1, swapped: 0 };

const point = (peakBytes: number, addedMs: number) => ({
  ...{ planner: "mutwo", budgetBytes: peakBytes, peakBytes, addedMs, recomputed: 1, swapped: 0, hostBytes: 0 },
  copiesSimulated: false,
});

const arena = resnet.before.arenaBytes;

testRules(planRules, {
  infeasible: {
    fires: infeasible,
    says: /the budget is 391 KiB, the least reachable peak 768 KiB \(planner mutwo\); in the way: .* in m\.resnet/,
    quiet: resnet,
  },
  "infeasible-lever": { fires: infeasible, says: /about .* then \(estimated\), the budget 391 KiB/, quiet: resnet },
  "infeasible-together": {
    fires: planned(gpt2, { feasible: false, budgetBytes: 560_000 }),
    says: /Would fit together: an optimizer without state, the largest parameter frozen.* the budget 547 KiB/,
    quiet: planned(gpt2, { feasible: false, budgetBytes: 700_000 }),
  },
  "useless-plan": { fires: mlp, says: /11 decisions add 1\.00 ms .* in mod \(update\)/, quiet: resnet },
  "fits-anyway": { fires: resnet, says: /the plan adds 18\.6 µs/, quiet: onDevice(resnet, { memoryBytes: 2 ** 20 }) },
  "costly-plan": { fires: gpt2, says: /it adds 421 µs, 125\.1 % of the unplanned step \(predicted\)/, quiet: resnet },
  "bound-gap": {
    fires: planned(resnet, { bound: { addedMs: 1e-9, proven: true } }),
    says: /adds 18\.6 µs; it is proven only that none adds less than 0/,
    quiet: planned(resnet, { bound: { addedMs: 0.018, proven: true } }),
  },
  "other-planner": {
    fires: planned(resnet, { beside: [other] }),
    says: /Planner best costs less time: .* mutwo 18\.6 µs/,
    quiet: planned(resnet, { beside: [{ ...other, addedMs: 0.018 }] }),
  },
  knee: {
    fires: { ...unplanned(resnet), tradeoff: [point(arena, 0), point(arena / 2, 0.01), point(arena / 3, 0.2)] },
    says: /mutwo reaches 658 KiB \(50\.0 % of the unplanned peak\)/,
    quiet: { ...unplanned(resnet), tradeoff: [point(arena, 0)] },
  },
  "over-device": {
    fires: onDevice(resnet, { memoryBytes: 2 ** 20 }),
    says: /what lies beside them 604 MiB; .* has 1\.00 MiB/,
    quiet: resnet,
  },
});
