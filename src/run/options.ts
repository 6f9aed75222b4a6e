import type { BatchNormMode } from "../model/bind.js";
import type { TrainingOptions } from "../step/training.js";

export interface ProfileModelOptions extends TrainingOptions {
  /** How batch norm runs, whatever the file says: with the batch's statistics or with frozen ones. */
  readonly batchNorm?: BatchNormMode;
  /** Size of each symbolic dimension. */
  readonly dims?: Readonly<Record<string, number>>;
  /** Default `cpu`. */
  readonly backend?: string;
  /** `4GiB`, `500MB` or a share of the baseline's peak, `60%`. Without one nothing is planned, unless a planner is named. */
  readonly budget?: string;
  /** Default `mutwo`. */
  readonly planner?: string;
  readonly iterations?: number;
  readonly warmups?: number;
  readonly threads?: number;
  /** Which GPU, default 0. */
  readonly device?: number;
  /** Whether a GPU may round the inputs of products to TF32; default true. */
  readonly tf32?: boolean;
  /** Only kernels that give the same bits each time. */
  readonly deterministic?: boolean;
  /** Say which node first makes a NaN or an infinity, if the loss is not finite. */
  readonly checkFinite?: boolean;
  /** Write what is measured to this file, to be replayed without a device (`--backend replay:FILE`). */
  readonly record?: string;
  /** Of the initial values and of the data; default 0. */
  readonly seed?: number;
  /** How the run is made again, for the report. */
  readonly command?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (stage: string, done: number, total: number) => void;
}

/** The command line that makes a run again. */
export function commandOf(file: string, options: ProfileModelOptions): string {
  const quote = (word: string): string => (/^[\w./:=%,@+-]+$/.test(word) ? word : `'${word.replace(/'/g, "'\\''")}'`);
  const words = ["mutwo", "profile", file, "--loss", options.loss, "--optimizer", options.optimizer];
  for (const [name, size] of Object.entries(options.dims ?? {})) words.push("--dim", `${name}=${size}`);
  if (options.accumulate !== undefined) words.push("--accumulate", String(options.accumulate));
  if (options.clipNorm !== undefined) words.push("--clip-norm", String(options.clipNorm));
  for (const pattern of options.freeze ?? []) words.push("--freeze", pattern);
  if (options.batchNorm !== undefined) words.push("--batch-norm", options.batchNorm);
  if (options.precision !== undefined) words.push("--precision", options.precision);
  if (options.backend) words.push("--backend", options.backend);
  if (options.budget) words.push("--budget", options.budget);
  if (options.planner) words.push("--planner", options.planner);
  if (options.iterations !== undefined) words.push("--iterations", String(options.iterations));
  if (options.warmups !== undefined) words.push("--warmups", String(options.warmups));
  if (options.threads !== undefined) words.push("--threads", String(options.threads));
  if (options.device !== undefined) words.push("--device", String(options.device));
  if (options.tf32 === false) words.push("--no-tf32");
  if (options.deterministic) words.push("--deterministic");
  if (options.checkFinite) words.push("--check-finite");
  if (options.record !== undefined) words.push("--record", options.record);
  if (options.seed !== undefined) words.push("--seed", String(options.seed));
  return words.map(quote).join(" ");
}
