import { openCpu } from "../../src/runtime/cpu.js";
import { loadTrials, perceptron } from "../fused.js";
import { figureOf, type Tell } from "./history.js";

/** Sixteen small perceptrons one after another and fused, each in turn in one process. */
export async function fusedPerceptrons(tell: Tell): Promise<void> {
  const cpu = openCpu({ threads: 1 });
  const graph = perceptron(8, 16, 2);
  const options = { loss: "ce", optimizer: "sgd:lr=0.01" };
  const members = Array.from({ length: 16 }, (_, i) => ({ name: `m${i}`, graph, options, seed: i }));
  const { alone, fused, close } = loadTrials(cpu, members);
  try {
    const times: { alone: number; fused: number }[] = [];
    for (let turn = 0; turn < 300; turn++) {
      const begin = performance.now();
      for (const { step } of alone) await step.run();
      const middle = performance.now();
      await fused.step.run();
      times.push({ alone: middle - begin, fused: performance.now() - middle });
    }
    const warm = times.slice(100);
    tell("16 perceptrons (16-16-16, batch 8) fused: step, ms", figureOf(warm.map((time) => time.fused)));
    tell(
      "16 perceptrons (16-16-16, batch 8) one after another over fused",
      figureOf(warm.map((time) => time.alone / time.fused)),
    );
  } finally {
    close();
    await cpu.close();
  }
}
