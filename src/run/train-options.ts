import { existsSync } from "node:fs";
import { checkWritable } from "./folder.js";
import { choice, count, flag, type Given, type OptionSpec, optionalText, text, texts } from "./option-kinds.js";

/** Learning-rate schedules, loaded when options are checked. */
const schedules = () => require("../step/schedule.js") as typeof import("../step/schedule.js");

function checkPlace(what: string, place: string): void {
  if (!existsSync(place)) throw new Error(`cannot read ${what}: ${place} (ENOENT)`);
}

/** Steps between checkpoints, and whether there is one after each epoch: `epoch`, `500`, `500,epoch` or `never`. */
export function parseCheckpointEvery(text: string): { readonly steps: number | null; readonly epoch: boolean } {
  if (text === "never") return { steps: null, epoch: false };
  let steps: number | null = null;
  let epoch = false;
  for (const part of text.split(",").map((word) => word.trim()))
    if (part === "epoch" && !epoch) epoch = true;
    else if (/^[1-9]\d{0,14}$/.test(part) && steps === null) steps = Number(part);
    else throw new Error(`checkpointEvery is not epoch, a number of steps, both or never: ${text} (use 500,epoch)`);
  return { steps, epoch };
}

/** Which columns of the data tensors take: `input=x_train,target=y_train`; of a table several, `input=age+income`. */
export function parseColumns(text: string): Readonly<Record<string, string | readonly string[]>> {
  const parts = text.split(",").map((part) => /^([^=]+)=(.+)$/s.exec(part.trim()));
  const chosen = parts.map((part): [string, string | string[]] => {
    const [, tensor = "", columns = ""] = part ?? [];
    const names = columns.split("+");
    if (!part || names.includes("")) throw new Error(`columns are not TENSOR=COLUMN: ${text} (use input=x,target=y)`);
    return [tensor, names.length === 1 ? columns : names];
  });
  const tensors = chosen.map(([tensor]) => tensor);
  const twice = tensors.find((tensor, i) => tensors.indexOf(tensor) !== i);
  if (twice !== undefined) throw new Error(`columns name a tensor twice: ${twice}`);
  return Object.fromEntries(chosen);
}

/** What numbers are multiplied by: `0.5` or `1/255`. */
export function parseScale(text: string): number {
  const [, above = "", below = "1"] = /^([^/]+)(?:\/([^/]+))?$/.exec(text.trim()) ?? [];
  const scale = above.trim() === "" || below.trim() === "" ? Number.NaN : Number(above) / Number(below);
  if (!Number.isFinite(scale) || scale === 0)
    throw new Error(`scale is not a number other than 0: ${text} (use 1/255)`);
  return scale;
}

/** The options that say on what is trained, how long, and what is kept of it. */
export const trainOptions = {
  /** What is trained on: a `.npz`, `.npy`, `.safetensors` or `.csv` file, or a folder of images by class. */
  data: {
    flag: "--data",
    kind: text("place"),
    help: "what to train on: a .npz, .npy, .safetensors or .csv file, or a folder of images by class",
    group: "training",
    commands: ["train"],
    required: ["train"],
    check: (place: string) => checkPlace("data", place),
  },
  /** What is held back, to be evaluated after each epoch. */
  validate: {
    flag: "--validate",
    kind: text("place"),
    help: "data to evaluate after each epoch",
    group: "training",
    commands: ["train"],
    check: (place: string) => checkPlace("validation data", place),
  },
  /** Which columns the model's tensors take, where names do not say it: `input=x_train,target=y_train`, of a table `input=age+income,target=price`. */
  columns: {
    flag: "--columns",
    kind: text("choice"),
    help: "which columns of the data the tensors take: input=x_train,target=y_train; of a table input=age+income,target=price",
    group: "training",
    commands: ["train"],
    check: (value: string) => void parseColumns(value),
  },
  /** What whole numbers of arrays, as bytes of images are, are multiplied by for an input of floats: `1/255`. */
  scale: {
    flag: "--scale",
    kind: text("x"),
    help: "what whole numbers of the data are multiplied by for an input of floats: 1/255",
    group: "training",
    commands: ["train"],
    check: (value: string) => void parseScale(value),
  },
  /** Times through the data. */
  epochs: {
    flag: "--epochs",
    kind: count(1),
    help: "times through the data",
    group: "training",
    commands: ["train"],
  },
  /** Steps at most, whatever the epochs; one updates the parameters once. */
  steps: {
    flag: "--steps",
    kind: count(1),
    help: "steps at most, of one update each",
    group: "training",
    commands: ["train"],
  },
  /** `constant`, `linear`, `cosine`, `step` or `exponential`, with settings: `cosine:warmup=100,min=1e-5`. */
  schedule: {
    flag: "--schedule",
    kind: text("name"),
    help: "learning rate over the steps: constant, linear, cosine, step or exponential, with settings: cosine:warmup=100,min=1e-5",
    group: "training",
    commands: ["train"],
    default: "constant",
    check: (value: string) => schedules().checkSchedule(value),
  },
  /** Metrics of the validation data beside the loss. */
  metrics: {
    flag: "--metric",
    kind: texts("name"),
    help: "what to compute of the validation data beside the loss: accuracy (repeat)",
    group: "training",
    commands: ["train"],
  },
  /** What patience and the best state go by: `loss`, or one of the metrics; default `loss`. */
  monitor: {
    flag: "--monitor",
    kind: text("name"),
    help: "what patience and the best state go by: loss or one of the metrics",
    group: "training",
    commands: ["train"],
    default: "loss",
    check(value: string, { validate }: Given) {
      if (validate === undefined) throw new Error(`nothing is validated to go by: ${value} (pass --validate DATA)`);
    },
  },
  /** Epochs without an improvement after which the training ends; the best state is what is saved. */
  patience: {
    flag: "--patience",
    kind: count(1),
    help: "end after so many epochs without an improvement, and save the best state",
    group: "training",
    commands: ["train"],
    check(value: number, { validate }: Given) {
      if (validate === undefined)
        throw new Error(`patience of ${value} epochs, and nothing is validated: pass --validate DATA`);
    },
  },
  /** What becomes of an epoch's last samples that fill no batch; default `drop`. */
  last: {
    flag: "--last",
    kind: choice("what", ["drop", "pad"]),
    help: "an epoch's last samples that fill no batch: drop them, or pad them with ignore_index",
    group: "training",
    commands: ["train"],
    default: "drop",
  },
  /** Folder of the checkpoints; default `OUT.checkpoints`. */
  checkpoints: {
    flag: "--checkpoints",
    kind: text("dir"),
    help: "folder of the checkpoints (default: that of --out, its name with .checkpoints)",
    group: "training",
    commands: ["train"],
    check: (folder: string) => checkWritable(folder),
  },
  /** `epoch`, a number of steps, both (`500,epoch`) or `never`; default `epoch`. */
  checkpointEvery: {
    flag: "--checkpoint-every",
    kind: text("when"),
    help: "when to write a checkpoint: epoch, 500 (steps), 500,epoch or never",
    group: "training",
    commands: ["train"],
    default: "epoch",
    check: (value: string) => void parseCheckpointEvery(value),
  },
  /** So many of the newest checkpoints stay; default 3. */
  keepCheckpoints: {
    flag: "--keep-checkpoints",
    kind: count(1),
    help: "so many of the newest checkpoints stay, and the best",
    group: "training",
    commands: ["train"],
    default: 3,
  },
  /** Goes on from a checkpoint, or from the newest whole one in a folder; `""`: in that of the checkpoints. */
  resume: {
    flag: "--resume",
    kind: optionalText("place"),
    help: "go on from a checkpoint, or from the newest whole one of a folder (default: that of the checkpoints)",
    group: "training",
    commands: ["train"],
    check(place: string) {
      if (place !== "") checkPlace("checkpoint", place);
    },
  },
} as const satisfies Readonly<Record<string, OptionSpec>>;

/** The options that say where what is made of a training goes. */
export const trainOutputs = {
  /** The trained model: the model's own file with other weights. */
  out: {
    flag: "--out",
    kind: text("file"),
    help: "the trained model, an ONNX file",
    group: "output",
    commands: ["train"],
    required: ["train"],
  },
  /** Batch norm and dropout of the trained model are written in inference mode, whatever the model's file says. */
  inference: {
    flag: "--inference",
    kind: flag(),
    help: "write batch norm and dropout of the trained model in inference mode, for who runs it elsewhere",
    group: "output",
    commands: ["train"],
  },
  /** False: no report is written. */
  report: {
    flag: "--no-report",
    kind: flag(false),
    help: "write no report",
    group: "output",
    commands: ["train"],
  },
  /** Folder that gets the training's folder with its report; default `reports`. */
  reports: {
    flag: "--reports",
    kind: text("dir"),
    help: "folder that gets the training's folder with its report",
    group: "output",
    commands: ["train"],
    default: "reports",
  },
} as const satisfies Readonly<Record<string, OptionSpec>>;
