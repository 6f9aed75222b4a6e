import type { Batch, BatchTensor } from "../data/batch.js";
import type { DType } from "../graph/graph.js";
import type { Value } from "../graph/values.js";
import type { Run } from "../run/run.js";
import type { Device } from "../runtime/runtime.js";

export interface TrainerState {
  readonly steps: number;
  readonly learningRate: number;
  readonly tensors: ReadonlyMap<string, Value>;
}

export interface Trainer {
  readonly file: string;
  readonly batch: readonly BatchTensor[];
  readonly batchSize: number;
  readonly outputs: readonly { name: string; dtype: DType; shape: readonly number[] }[];
  readonly run: Run | null;
  readonly allocatedBytes: number;
  readonly steps: number;
  readonly learningRate: number;
  readonly backend: "cpu" | "cuda";
  readonly device: Device;
  readonly modelSha256: string;
  processBytes?(): number;
  step(batch: Batch, options?: { signal?: AbortSignal }): Promise<{ readonly loss: number; readonly stepMs: number }>;
  culprit(): Promise<string | null>;
  evaluate(batch: Batch): Promise<Readonly<Record<string, Value>>>;
  setLearningRate(rate: number): void;
  state(): TrainerState;
  load(from: string | TrainerState): void;
  save(file: string): void;
  close(): void;
}

export async function openTrainer(_file: string, _options: object): Promise<Trainer> {
  throw new Error("not merged yet");
}
