import { openTrainer } from "../src/train/open-trainer.js";
import type { StepTrainer } from "../src/train/step-trainer.js";
import { at } from "./at.js";

/** Trains six steps over stub libraries, each next batch prepared while a step runs; prints what was found. */
async function main(): Promise<void> {
  const trainer = await openTrainer(at("fixtures", "training", "mlp.onnx"), {
    loss: "ce",
    optimizer: "adamw",
    backend: "cuda",
  });
  const batches = Array.from({ length: 7 }, (_, i) => ({
    x: new Float32Array(96).fill(i + 1),
    target: BigInt64Array.from({ length: 8 }, () => BigInt(i % 4)),
  }));
  const { parts } = trainer as unknown as { parts: ConstructorParameters<typeof StepTrainer>[0] };
  const seen: number[] = [];
  for (let i = 0; i < 6; i++) {
    const running = trainer.step(batches[i] as never);
    if (i !== 3) trainer.prepare(batches[i + 1] as never);
    await running;
    seen.push(new Float32Array(parts.step.read("x").buffer)[7] as number);
  }
  trainer.setLearningRate(0.25);
  const rate = new Float32Array(parts.step.read("parameters.lr").buffer)[0];
  const state = trainer.state();
  const weight = state.tensors.get("0.weight")?.data[0];
  trainer.load(state);
  const outputs = Object.keys(await trainer.evaluate(batches[0] as never));
  const held = trainer.processBytes?.() ?? 0;
  console.log(
    JSON.stringify({ seen, rate, steps: trainer.steps, outputs, held: held > 0, weight: weight !== undefined }),
  );
  trainer.close();
}

main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 2;
});
