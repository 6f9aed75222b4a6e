import { checkFile } from "../files.js";
import { backendOptions, checkBackend, estimateBackend } from "../runtime/backends.js";
import { readDeviceSpec } from "../runtime/device-spec.js";
import type { TrainingOptions } from "../step/training.js";
import { checkFileWritable } from "./folder.js";
import {
  type CommandName,
  choice,
  count,
  flag,
  type Given,
  type Kind,
  type OptionSpec,
  positive,
  sizes,
  text,
  texts,
} from "./option-kinds.js";
import { planOptions } from "./plan-options.js";
import { togetherOptions } from "./together-options.js";
import { trainOptions, trainOutputs } from "./train-options.js";

/** The step's checks, loaded when options are checked: help does without the graph and its ops. */
const training = () => (require("../step/training.js") as typeof import("../step/training.js")).trainingChecks;

/**
 * Every option of profile, plan, verify and train, and those of show that they share, in the order of their help. All that
 * there is of an option follows from its entry: the command line, the types below, the printed command, a run's
 * `model`, the report's facts, the early checks.
 * The types are derived, not written again, for docstrings survive it: an entry's is what an editor shows of the field,
 * from the declaration files too. Those of `TrainingOptions` have theirs there, and must be of the same types here.
 */
export const optionTable = {
  ...trainOptions,
  /** Safetensors file: `input` (or one tensor for each of the model's inputs), `target`, `loss`, `grad.NAME`, `buffer.NAME`, `adam_curve`, `sgd_curve`. */
  reference: {
    flag: "--reference",
    kind: text("file"),
    help: "safetensors file with the reference values",
    group: "step",
    commands: ["verify"],
    required: ["verify"],
    check: (file: string) => checkFile("safetensors", file),
  },
  /** `ce`, `mse`, `l1`, `bce` or `sum`, with settings: `ce:axis=1,output=logits`. */
  loss: {
    flag: "--loss",
    kind: text("name"),
    help: "ce, mse, l1, bce or sum, with settings: ce:axis=1,label_smoothing=0.1,ignore_index=-100,chunks=8,output=NAME",
    group: "step",
    commands: ["profile", "verify", "show", "train", "trainer"],
    required: ["profile", "verify", "train", "trainer"],
    model: true,
    fact: false,
    check: (value: string) => training().loss(value),
  },
  optimizer: {
    flag: "--optimizer",
    kind: text("name"),
    help: "sgd, adam or adamw, with settings: adam:lr=1e-3,betas=0.9/0.999",
    group: "step",
    commands: ["profile", "show", "train", "trainer"],
    required: ["profile", "train", "trainer"],
    model: true,
    fact: false,
    check: (value: string) => training().optimizer(value),
  },
  /** Size of each symbolic dimension. */
  dims: {
    flag: "--dim",
    kind: sizes(),
    help: "size of a symbolic dimension (repeat)",
    group: "step",
    commands: ["profile", "verify", "show", "train", "trainer"],
    default: {},
    model: true,
    fact: false,
  },
  accumulate: {
    flag: "--accumulate",
    // the step holds the nodes of each of them
    kind: count(1, 1024),
    help: "micro-batches of that size before each update",
    group: "step",
    commands: ["profile", "show", "train", "trainer"],
    model: true,
    fact: "micro-batches per step",
    check: (value: number) => training().accumulate(value),
  },
  clipNorm: {
    flag: "--clip-norm",
    kind: positive(),
    help: "scale gradients down to this norm over all parameters",
    group: "step",
    commands: ["profile", "show", "train", "trainer"],
    model: true,
    fact: "gradients clipped to norm",
    check: (value: number) => training().clipNorm(value),
  },
  freeze: {
    flag: "--freeze",
    kind: texts("pattern"),
    help: "leave parameters untrained: 'encoder.*' (repeat)",
    group: "step",
    commands: ["profile", "show", "train", "trainer"],
    model: true,
    fact: "frozen",
    check: (value: readonly string[]) => training().freeze(value),
  },
  precision: {
    flag: "--precision",
    kind: text("name"),
    help: "mixed: float16 products, float32 parameters (mixed:type=bfloat16; loss_scale=1024 or dynamic); float64: the whole step",
    group: "step",
    commands: ["profile", "show", "train", "trainer"],
    model: true,
    fact: "precision",
    check: (value: string) => training().precision(value),
  },
  /** How batch norm runs, whatever the file says: with the batch's statistics or with frozen ones. */
  batchNorm: {
    flag: "--batch-norm",
    kind: choice("mode", ["training", "inference"]),
    help: "run batch norm so, whatever the file says",
    group: "step",
    commands: ["profile", "verify", "show", "train", "trainer"],
    model: true,
    fact: "batch norm",
  },
  ...togetherOptions,
  /** `cpu`, `cuda`, `replay:FILE` of a recording, or `estimate` of a device that is only described; default `cpu`. */
  backend: {
    flag: "--backend",
    kind: text("name"),
    help: "cpu or cuda; profile and show also take replay:FILE, a recording, and estimate, which runs nothing",
    group: "device",
    commands: ["profile", "verify", "show", "train", "trainer"],
    default: "cpu",
    stated: ["profile", "train"],
    check: checkBackend,
  },
  /** The device that `estimate` plans for: `h100`, `h200`, `a100`, `l4`, `rtx4090`, or a JSON file that describes one. */
  deviceSpec: {
    flag: "--device-spec",
    kind: text("name"),
    help: "the device to estimate: h100, h200, a100, l4, rtx4090 or FILE.json",
    group: "device",
    commands: ["profile", "show"],
    only: backendOptions.deviceSpec,
    check: (nameOrFile: string) => void readDeviceSpec(nameOrFile),
  },
  /** Write what is measured to this file, to be replayed without a device (`--backend replay:FILE`). */
  record: {
    flag: "--record",
    kind: text("file"),
    help: "write what is measured to a file that --backend replay:FILE reads",
    group: "device",
    commands: ["profile"],
    check(file: string, { backend }: Given) {
      if (backend === estimateBackend) throw new Error(`the estimate backend measures nothing to record: ${file}`);
      checkFileWritable("recording", file);
    },
  },
  /** Which GPU, default 0. */
  device: {
    flag: "--device",
    kind: count(0),
    help: "which GPU (default 0)",
    group: "device",
    commands: ["profile", "verify", "train", "trainer"],
    only: backendOptions.device,
  },
  /** Whether a GPU may round the inputs of products to TF32; default true. */
  tf32: {
    flag: "--no-tf32",
    kind: flag(false),
    help: "products and convolutions in full float32 on a GPU",
    group: "device",
    commands: ["profile", "verify", "train", "trainer"],
    only: backendOptions.tf32,
  },
  /** Only kernels that give the same bits each time. */
  deterministic: {
    flag: "--deterministic",
    kind: flag(),
    help: "only kernels that give the same bits each time",
    group: "device",
    commands: ["profile", "verify", "train", "trainer"],
  },
  /** Say which node first makes a NaN or an infinity, if the loss is not finite. */
  checkFinite: {
    flag: "--check-finite",
    kind: flag(),
    help: "name the first node that makes a NaN or an infinity, if the loss is not finite",
    group: "measuring",
    commands: ["profile"],
  },
  ...planOptions,
  /** Measured steps of each kind, default 5. */
  iterations: {
    flag: "--iterations",
    kind: count(1),
    help: "measured steps of each kind",
    group: "measuring",
    commands: ["profile", "train", "trainer"],
    default: 5,
  },
  /** Steps before the measured ones, default 2. */
  warmups: {
    flag: "--warmups",
    kind: count(0),
    help: "steps before them",
    group: "measuring",
    commands: ["profile", "train", "trainer"],
    default: 2,
  },
  /** Threads of the CPU's kernels, default all cores. */
  threads: {
    flag: "--threads",
    kind: count(1, 256),
    help: "threads of the CPU kernels (default: all cores)",
    group: "device",
    commands: ["profile", "train", "trainer"],
    only: backendOptions.threads,
  },
  /** Of the initial values and of the data; default 0. */
  seed: {
    flag: "--seed",
    kind: count(0),
    help: "seed of initial values and data",
    group: "measuring",
    commands: ["profile", "train", "trainer"],
    default: 0,
    stated: ["profile", "train"],
  },
  ...trainOutputs,
} as const satisfies Readonly<Record<string, OptionSpec> & Record<keyof TrainingOptions, OptionSpec>>;

type Table = typeof optionTable;

type ValueOf<Spec> = Spec extends { readonly kind: Kind<infer T> } ? T : never;

/** The commands that need an option. */
type Needing<Spec> = Spec extends { readonly required: readonly (infer C)[] } ? C : never;

/** The options that a command takes: those that it needs, and the others. */
export type OptionsOf<C extends CommandName> = {
  readonly [K in keyof Table as C extends Needing<Table[K]> ? K : never]: ValueOf<Table[K]>;
} & {
  readonly [K in keyof Table as C extends Exclude<Table[K]["commands"][number], Needing<Table[K]>>
    ? K
    : never]?: ValueOf<Table[K]>;
};

/** The options that a run's `model` holds. */
export type ModelOptions = {
  readonly [K in keyof OptionsOf<"profile"> as Table[K] extends { model: true } ? K : never]: OptionsOf<"profile">[K];
};

/** The values that hold where none are given. */
export type Defaults = {
  readonly [K in keyof Table as Table[K] extends { default: unknown } ? K : never]: ValueOf<Table[K]>;
};

/** What `profileModel` takes: the options of `mutwo profile`, and what a program that calls it hands over. */
export interface ProfileModelOptions extends TrainingOptions, OptionsOf<"profile"> {
  /** How the run is made again, for the report. */
  readonly command?: string;
  readonly signal?: AbortSignal;
  /** Called when a stage begins and after each measured step of it. */
  readonly onProgress?: (stage: string, done: number, total: number) => void;
}

/** The table by name; that it may be written so says that each entry's parts are of one type. */
const specs: { readonly [K in keyof Table]: OptionSpec<ValueOf<Table[K]>> } = optionTable;

/** The table as a list: names with all that is known of each. */
export const optionEntries = Object.entries(specs) as readonly (readonly [name: keyof Table, spec: OptionSpec])[];

/** A command's options with their names, in the order of its help. */
export const optionsOf = (command: CommandName): typeof optionEntries =>
  optionEntries.filter(([, { commands }]) => commands.includes(command));
