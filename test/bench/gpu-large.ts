import { profileModel } from "../../src/run/pipeline.js";
import { common, modelFile, type Places, progressOf, since } from "./gpu-models.js";

/** A step larger than the GPU, ResNet-50 of batch 1,024 (about 90 GB): when each stage began, and what it came to. */
export async function large(places: Places): Promise<string> {
  const lines: string[] = [];
  for (const budget of [undefined, "70GiB"]) {
    const [began, tell] = [performance.now(), progressOf()];
    let last = "";
    const say = (what: string): void => {
      tell(what);
      lines.push(`${since(began)} s: ${what}`);
    };
    const onProgress = (stage: string): void => {
      if (stage !== last) say(stage);
      last = stage;
    };
    try {
      const run = await profileModel(modelFile(places, "resnet50"), {
        ...common,
        dims: { batch: 1024 },
        ...(budget === undefined ? {} : { budget }),
        onProgress,
      });
      const { before, plan, after } = run;
      say(`done: ${(before.arenaBytes / 1e9).toFixed(1)} GB unplanned, nodes ${before.nodesMs.toFixed(0)} ms`);
      if (plan)
        say(
          `plan for ${budget}: ${plan.feasible ? `${(plan.peakBytes / 1e9).toFixed(1)} GB, ${plan.addedMs.toFixed(0)} ms more` : "infeasible"}; executed in ${after?.step.medianMs.toFixed(0)} ms`,
        );
      for (const { text } of run.warnings) lines.push(`warning: ${text}`);
    } catch (error) {
      say(`refused: ${(error as Error).message}`);
    }
  }
  return `${lines.join("\n")}\n`;
}
