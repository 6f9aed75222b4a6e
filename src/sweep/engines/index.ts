import { nearest } from "../../format.js";
import { own } from "../../own.js";
import type { Engine } from "../engine.js";
import { bullmq } from "./bullmq.js";
import { kubernetes } from "./kubernetes.js";
import { ray } from "./ray.js";
import { slurm } from "./slurm.js";

/** The engines that a sweep runs on, by name. */
export const engines = { slurm, bullmq, ray, kubernetes } as const satisfies Readonly<Record<string, Engine>>;

/** The engine of a name. Throws the names that there are for another. */
export function engineOf(name: string): Engine {
  const engine = own(engines, name);
  if (!engine) throw new Error(`unknown engine: ${name} (use ${Object.keys(engines).join(", ")})`);
  return engine;
}

/** Settings of `NAME=VALUE` each; a name alone is a setting without value. Throws for one that the engine does not have. */
export function engineSettings({ name: engine, settings }: Engine, words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    words.map((word) => {
      const [name = "", ...value] = word.split("=");
      const known = [...Object.keys(settings), "mutwo"];
      if (!known.includes("*") && !known.includes(name))
        throw new Error(`${engine} has no setting ${name} (did you mean ${nearest(name, known, 1)}?)`);
      return [name, value.join("=")];
    }),
  );
}
