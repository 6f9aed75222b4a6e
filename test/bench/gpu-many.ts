import { profileModel } from "../../src/run/pipeline.js";
import { benchModels, common, modelFile, type Places, progressOf, since, table } from "./gpu-models.js";

/** Profiles each model of the benchmark twice in this process, as a notebook does: nothing may be left behind. */
export async function many(places: Places): Promise<string> {
  const rows: string[][] = [];
  const say = progressOf();
  for (const round of [1, 2])
    for (const { name, batch } of benchModels) {
      const began = performance.now();
      say(name);
      const { before, processPeak } = await profileModel(modelFile(places, name), { ...common, dims: { batch } });
      rows.push([
        String(round),
        `${name} b${batch}`,
        before.step.medianMs.toFixed(2),
        ((before.memory?.contextBytes ?? 0) / 1e6).toFixed(0),
        ((before.memory?.processBytes ?? 0) / 1e6).toFixed(0),
        ((processPeak?.bytes ?? 0) / 1e6).toFixed(0),
        since(began),
      ]);
    }
  return table(
    ["round", "model", "step ms", "before the step MB", "process MB", "process at most MB", "seconds"],
    rows,
  );
}
