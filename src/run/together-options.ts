import { choice, count, type Given, type OptionSpec, others, texts } from "./option-kinds.js";
import { parseVariations } from "./vary.js";

/** Whether options ask for several models in one step. */
export const isTogether = ({ together, copies, vary }: Given): boolean =>
  [together, copies, vary].some((one) => one !== undefined);

/** More models than this nobody has trained in one step. */
export const mostModels = 10_000;

/** How several models can be trained in one step. */
export const arrangements = ["best", "side-by-side", "fused", "multiplexed"] as const;

/** The options that train several models in one step. */
export const togetherOptions = {
  /** Further model files, which are trained in one step with the first. */
  together: {
    flag: "--together",
    kind: others("model"),
    help: "train all the models that are named in one step",
    group: "together",
    commands: ["profile", "train"],
    model: true,
    fact: "further models",
    check(value: readonly string[], given: Given) {
      if (!value.length && given.copies === undefined && given.vary === undefined)
        throw new Error("nothing to train together: name another model (or pass --copies N, --vary lr=1e-4,3e-4)");
    },
  },
  /** So many of each model file; they differ in their seeds, and in what `vary` says, the values in turn. */
  copies: {
    flag: "--copies",
    kind: count(1, mostModels),
    help: "so many of each model, in one step; they differ in seed, and in the values of --vary in turn",
    group: "together",
    commands: ["profile", "train"],
    model: true,
    fact: "copies",
  },
  /** In what the models differ: `lr=1e-4,3e-4`, `seed=0..7`; every combination, or with `copies` or several models the values in turn. */
  vary: {
    flag: "--vary",
    kind: texts("name=values"),
    help: "models that differ in a setting of the optimizer or in an option: lr=1e-4,3e-4 or seed=0..7 (repeat); every combination, with --copies or several models the values in turn",
    group: "together",
    commands: ["profile", "train"],
    model: true,
    fact: "varied",
    check: (value: readonly string[]) => void parseVariations(value),
  },
  /** How the models are put into one step; default the fastest that fits. */
  arrange: {
    flag: "--arrange",
    kind: choice("how", arrangements),
    help: "side-by-side, fused, multiplexed (μ-TWO), or best: the fastest that fits (default)",
    group: "together",
    commands: ["profile", "train"],
    model: true,
    fact: "arranged",
    check(value: string, given: Given) {
      if (!isTogether(given)) throw new Error(`one model alone is not arranged: ${value} (pass --copies N)`);
    },
  },
} as const satisfies Readonly<Record<string, OptionSpec>>;
