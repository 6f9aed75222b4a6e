import { existsSync } from "node:fs";
import path from "node:path";

/** A model of the benchmark. */
export interface BenchModel {
  readonly name: string;
  readonly batch: number;
  /** What its planned step is to fit into. */
  readonly budget: string;
}

/** The models that are timed beside PyTorch, as test/bench/torch_peer.py makes them. */
export const benchModels: readonly BenchModel[] = [
  { name: "resnet50", batch: 64, budget: "70%" },
  { name: "bert_base", batch: 32, budget: "80%" },
  { name: "gpt2_small", batch: 8, budget: "70%" },
  { name: "vit_b16", batch: 32, budget: "75%" },
  { name: "resnet18", batch: 4, budget: "95%" },
];

/** Options of every profile of the benchmark. */
export const common = { loss: "ce", optimizer: "adam:lr=1e-4", backend: "cuda" } as const;

/** Where models and PyTorch's scripts lie. */
export interface Places {
  /** Folder of the ONNX files. */
  readonly models: string;
  /** Folder of the Python scripts. */
  readonly scripts: string;
}

/** The ONNX file of a model. Throws `no model: …`. */
export function modelFile({ models }: Places, name: string): string {
  const file = [path.join(models, "full", `${name}.onnx`), path.join(models, `${name}.onnx`)].find(existsSync);
  if (!file) throw new Error(`no model: ${name} (in ${models})`);
  return file;
}

/** A row of a table of Markdown. */
export const rowOf = (row: readonly string[]): string => `| ${row.join(" | ")} |\n`;

/** Rows as a table of Markdown. */
export const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => "---"), ...rows].map(rowOf).join("");

/** Seconds since `began`. */
export const since = (began: number): string => ((performance.now() - began) / 1000).toFixed(1);

/** Tells what begins, with the seconds since `began`: on stderr, at once. */
export const progressOf =
  (began = performance.now()): ((what: string) => void) =>
  (what) =>
    void process.stderr.write(`${since(began)} s: ${what}\n`);
