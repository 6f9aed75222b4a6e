import { layout } from "../../src/memory/layout.js";
import { readModel } from "../../src/model/read.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { initialValues } from "../../src/step/initial.js";
import { stepFor } from "../../src/step/step.js";
import { openTrainer } from "../../src/train/open-trainer.js";
import { at } from "../at.js";
import { figureOf, type Tell } from "./history.js";

const options = { loss: "ce", optimizer: "adamw", threads: 1 } as const;

/** Steps that are compared, and over which memory may not grow. */
const [comparedSteps, manySteps] = [2000, 10_000];

/**
 * What a trainer's step of a multilayer perceptron takes beyond its kernels, µs: the median of steps less that of the same
 * kernels called and nothing else, in turn; must 50. And how much the process grows over 10 000 steps after as many, KiB.
 */
export async function trainer(tell: Tell): Promise<void> {
  const file = at("fixtures", "mlp.ts.onnx");
  const runtime = openCpu({ threads: 1 });
  const { step, baseline } = stepFor(runtime, readModel(file, { runtime }).graph, { ...options, rates: "tensors" }, 0);
  const bare = runtime.load(baseline, layout(baseline));
  for (const [name, data] of initialValues(baseline, step, 0)) bare.write(name, data);
  const trained = await openTrainer(file, options);
  const input = Float32Array.from({ length: 1600 }, (_, i) => Math.sin(i));
  const target = BigInt64Array.from({ length: 16 }, (_, i) => BigInt(i));
  try {
    const times: [number[], number[]] = [[], []];
    for (let i = 0; i < comparedSteps; i++) {
      const began = performance.now();
      bare.runNow();
      const middle = performance.now();
      await trained.step({ input, target });
      const end = performance.now();
      if (i < comparedSteps / 10) continue;
      times[0].push(1000 * (middle - began));
      times[1].push(1000 * (end - middle));
    }
    const kernels = figureOf(times[0]).median;
    tell("trainer: kernels of an MLP's step, µs", figureOf(times[0]));
    tell("trainer: the step, µs", figureOf(times[1]));
    tell("trainer: the step beyond its kernels, µs", figureOf(times[1].map((time) => time - kernels)));
    for (let i = 0; i < manySteps; i++) await trained.step({ input, target });
    const before = process.memoryUsage.rss();
    for (let i = 0; i < manySteps; i++) await trained.step({ input, target });
    tell(
      `trainer: growth of the process over ${manySteps} steps, KiB`,
      figureOf([(process.memoryUsage.rss() - before) / 1024]),
    );
  } finally {
    trained.close();
    bare.close();
    runtime.close();
  }
}
