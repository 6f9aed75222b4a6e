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

/** What every engine may be told. */
const common = { mutwo: "the program where tasks run, words with spaces between them" };

/** Settings of `NAME=VALUE` each; a name alone has no value. Throws those that there are for one that the engine lacks. */
export function engineSettings({ name: engine, settings }: Engine, words: readonly string[]): Record<string, string> {
  const known: Readonly<Record<string, string>> = { ...settings, ...common };
  return Object.fromEntries(
    words.map((word) => {
      const [name = "", ...value] = word.split("=");
      if (own(known, name) === undefined && !("*" in known)) {
        const all = Object.entries(known).map(([one, what]) => `${one} (${what})`);
        throw new Error(`${engine} has no setting ${name}, but ${all.join(", ")}`.slice(0, 300));
      }
      return [name, value.join("=")];
    }),
  );
}
