import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, test } from "node:test";
import { exportStep } from "../src/export/export.js";
import { type Graph, tensorOf } from "../src/graph/graph.js";
import { symbolsOf } from "../src/model/dimensions.js";
import { openOnnx } from "../src/model/onnx.js";
import { readModel } from "../src/model/read.js";
import { cast } from "../src/ops/shapes.js";
import { openCpu } from "../src/runtime/cpu.js";
import { lower } from "../src/step/lower.js";
import { trainingStep } from "../src/step/training.js";
import { at } from "./at.js";
import { openSession } from "./exported.js";
import { addNormalized, buildSample, byOp, graphOf } from "./sampled.js";
import type { Sample } from "./samples/sample.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

/** A model of the one node: what is differentiated is a parameter, and so is a factor of its output. */
function modelOf(sample: Sample): Graph {
  const { b, node } = buildSample(sample, "float32");
  for (const i of sample.differentiate ?? []) {
    const input = b.type(`x${i}`);
    if (input.category === "input") b.redeclare({ ...input, category: "parameter" });
  }
  const made = addNormalized(b, node, sample);
  const factor = b.declare({ name: "factor", dtype: "float32", shape: [], category: "parameter" });
  const chosen = made[sample.through?.[0] ?? made.findIndex(Boolean)] as string;
  b.scope = "end";
  return { ...graphOf(b, [b.op("Mul", [cast(b, chosen, "float32"), factor])]), name: "sample" };
}

/** Exports a step, which checks it against the schemas of opset 18, and loads it in plain ONNX Runtime. */
async function load(model: Graph, loss: string): Promise<void> {
  const step = lower(trainingStep(model, { loss, optimizer: "adam" }), runtime.hasKernel);
  const session = await openSession(exportStep(step).model);
  await session.release();
}

for (const [op, list] of byOp)
  if (!op.startsWith("mutwo:"))
    test(`an exported step with ${op} is opset 18 and loads in ONNX Runtime`, async () => {
      for (const sample of list) {
        const model = modelOf(sample);
        // there is no loss of nothing
        if (tensorOf(model, model.outputs[0] as string).shape.includes(0)) continue;
        await load(model, "mse").catch((error: Error) =>
          assert.fail(`${op} at opset ${sample.opsets ?? "any"}: ${error.message}`),
        );
      }
    });

for (const file of readdirSync(at("fixtures")).filter((name) => name.endsWith(".onnx")))
  test(`the exported step of ${file} is opset 18 and loads in ONNX Runtime`, async () => {
    const dims = Object.fromEntries([...symbolsOf(openOnnx(at("fixtures", file))).keys()].map((name) => [name, 2]));
    const { graph } = readModel(at("fixtures", file), { dims, runtime });
    const output = graph.outputs[0] as string;
    await load({ ...graph, outputs: [output] }, tensorOf(graph, output).shape.length > 0 ? "mse" : "output");
  });
