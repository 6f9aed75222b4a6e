import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { InferenceSession } from "onnxruntime-node";
import type { Tensor } from "../src/graph/graph.js";
import { gradientName } from "../src/graph/names.js";
import { valuesOf } from "../src/graph/values.js";
import { openOnnx } from "../src/model/onnx.js";
import { readModel } from "../src/model/read.js";
import { openCpu } from "../src/runtime/cpu.js";
import { stepFor } from "../src/step/step.js";
import { at } from "./at.js";
import { distance } from "./sampled.js";
import { runSteps } from "./step.js";

// Files as ONNX Runtime's optimiser writes them train as those that it read.

const cpu = openCpu({ threads: 1 });
const folder = mkdtempSync(join(tmpdir(), "optimised-"));

after(() => {
  cpu.close();
  rmSync(folder, { recursive: true });
});

/** The file as ONNX Runtime saves it after it has optimised it. */
async function optimised(file: string, level: "extended" | "all"): Promise<string> {
  const optimizedModelFilePath = join(folder, file);
  const session = await InferenceSession.create(at("fixtures", file), {
    graphOptimizationLevel: level,
    optimizedModelFilePath,
    logSeverityLevel: 4,
  });
  await session.release();
  return optimizedModelFilePath;
}

/** Columns of a matrix as rows; anything else as it is. */
const turned = (values: readonly number[], shape: readonly number[]): readonly number[] => {
  const [rows = 0, columns = 0] = shape;
  if (shape.length !== 2) return values;
  return Array.from({ length: values.length }, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)] as number);
};

/** What a matrix holds, whichever way round it lies, and whether it lies the other way round. */
function content({ dtype, shape, data }: Tensor): { key: string; isTurned: boolean } {
  const values = valuesOf(dtype, data as Uint8Array);
  const [own, other] = [values.join(), turned(values, shape).join()];
  return own <= other ? { key: own, isTurned: false } : { key: other, isTurned: true };
}

/**
 * Loss, and gradients by what their parameters hold, summed where several hold the same: the optimiser transposes
 * weights, makes one of equal ones, and two of one that is read in two ways. Not those of which one is no parameter.
 */
async function trained(file: string, loss: string) {
  const { graph } = readModel(file, { runtime: cpu });
  const step = stepFor(cpu, graph, { loss, optimizer: "sgd" }, 0).baseline;
  const weights = [...graph.tensors.values()].filter(({ dtype, data }) => dtype === "float32" && data);
  const isTrained = ({ name }: Tensor): boolean => step.tensors.has(gradientName(name));
  const observe = [...step.outputs.slice(0, 1), ...weights.filter(isTrained).map(({ name }) => gradientName(name))];
  const [made = {}] = await runSteps(step, cpu, {}, observe);
  const gradients = new Map<string, number[]>();
  for (const weight of weights.filter(isTrained)) {
    const { key, isTurned } = content(weight);
    const gradient = made[gradientName(weight.name)] as number[];
    const oriented = isTurned ? turned(gradient, weight.shape) : gradient;
    const known = gradients.get(key);
    gradients.set(key, known ? known.map((v, i) => v + (oriented[i] as number)) : [...oriented]);
  }
  for (const weight of weights.filter((each) => !isTrained(each))) gradients.delete(content(weight).key);
  return { loss: made[observe[0] as string] as number[], gradients };
}

/** Files, and the share of their trained values that the optimiser keeps: it folds what does not depend on the input. */
const files: readonly (readonly [file: string, loss: string, level: "extended" | "all", ops: RegExp, kept: number])[] =
  [
    ["mlp.ts.onnx", "mse", "all", /FusedGemm/, 1],
    ["bert_tiny.ts.onnx", "ce", "all", /FusedMatMul.*SkipLayerNormalization.*Gelu/, 0.9],
    ["gpt2_tiny.dynamo.onnx", "ce", "all", /FusedMatMul.*FastGelu/, 0.8],
    ["vit_tiny.ts.onnx", "ce", "extended", /SkipLayerNormalization/, 0.98],
    ["clip.dynamo.onnx", "mse", "extended", /FusedConv/, 0.4],
    ["resnet_bottleneck.ts.onnx", "ce", "extended", /BatchNormalization/, 1],
  ];

for (const [file, loss, level, ops, kept] of files)
  test(`${file}, optimised (${level}), has the loss and the gradients of the file itself`, async () => {
    const path = await optimised(file, level);
    assert.match(
      openOnnx(path)
        .nodes.map(({ op }) => op)
        .join(" "),
      ops,
    );
    const [own, other] = [await trained(at("fixtures", file), loss), await trained(path, loss)];
    assert.ok(distance(other.loss, own.loss) < 1e-5, `loss ${other.loss}, not ${own.loss}`);
    const whole = Math.hypot(...[...own.gradients.values()].flat());
    let compared = 0;
    for (const [key, expected] of own.gradients) {
      const gradient = other.gradients.get(key);
      if (!gradient) continue;
      const error = Math.hypot(...gradient.map((v, i) => v - (expected[i] as number)));
      assert.ok(error < 1e-4 * whole, `a gradient [${gradient.length}] is off by ${error} of ${whole}`);
      compared += gradient.length;
    }
    const share = compared / [...own.gradients.values()].flat().length;
    assert.ok(share >= kept, `${share} of the gradients compared`);
  });
