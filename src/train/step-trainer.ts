import type { Batch, BatchTensor } from "../data/batch.js";
import { type Graph, type Tensor, type TensorType, tensorOf } from "../graph/graph.js";
import { inOneLine } from "../graph/message.js";
import { type Value, valuesOf } from "../graph/values.js";
import { saveWeights, type WeightPlace } from "../model/save.js";
import type { Run } from "../run/run.js";
import type { Device, LoadedStep, Runtime } from "../runtime/runtime.js";
import { ratesAt } from "../step/optimizer.js";
import { culpritOf } from "./culprit.js";
import type { Evaluation } from "./evaluation.js";
import { checkState, readState, writeState } from "./state-file.js";
import type { StepInputs } from "./step-inputs.js";
import type { Evaluated, OutputTensor, SaveOptions, StepOutcome, Trainer, TrainerState } from "./trainer.js";

/** What a trainer is made of; it owns the runtime and the loaded step. */
export interface TrainerParts {
  readonly file: string;
  readonly modelSha256: string;
  readonly backend: "cpu" | "cuda";
  readonly runtime: Runtime;
  readonly run: Run | null;
  readonly graph: Graph;
  readonly step: LoadedStep;
  /** What steps change, by name. */
  readonly state: ReadonlyMap<string, TensorType>;
  readonly inputs: StepInputs;
  readonly evaluation: Evaluation;
  readonly learningRate: number;
  /** Where the file has the weights. */
  readonly places: ReadonlyMap<string, WeightPlace>;
}

/** The trainer over a loaded step: see `Trainer` for what each method does. */
export class StepTrainer implements Trainer {
  readonly file: string;
  readonly modelSha256: string;
  readonly backend: "cpu" | "cuda";
  readonly device: Device;
  readonly batch: readonly BatchTensor[];
  readonly batchSize: number;
  readonly outputs: readonly OutputTensor[];
  readonly run: Run | null;
  readonly processBytes?: () => number;
  private readonly loss: Tensor;
  private done = 0;
  private rate: number;
  /** Another object whenever the weights are others. */
  private version = {};
  /** What is running, in words. */
  private running: string | undefined;
  private isClosed = false;
  /** A step has failed halfway: what it has left is of no step. */
  private isTorn = false;
  /** What the step before the update had, if its loss was not finite. */
  private kept: ReadonlyMap<string, Uint8Array> | undefined;
  private hasStepped = false;
  /** The batch that is on its way to the device. */
  private prepared: Batch | undefined;

  constructor(private readonly parts: TrainerParts) {
    const { runtime, inputs, evaluation, graph } = parts;
    this.file = parts.file;
    this.modelSha256 = parts.modelSha256;
    this.backend = parts.backend;
    this.device = runtime.device;
    this.batch = inputs.tensors;
    this.batchSize = inputs.tensors[0]?.shape[0] ?? 1;
    this.outputs = evaluation.outputs;
    this.run = parts.run;
    this.rate = parts.learningRate;
    const { processBytes } = runtime;
    if (processBytes) this.processBytes = () => processBytes();
    this.loss = tensorOf(graph, graph.loss as string);
  }

  get allocatedBytes(): number {
    return this.parts.step.allocatedBytes;
  }

  get evaluationBytes(): number {
    return this.parts.evaluation.allocatedBytes;
  }

  get steps(): number {
    return this.done;
  }

  get learningRate(): number {
    return this.rate;
  }

  async step(batch: Batch, { signal }: { readonly signal?: AbortSignal } = {}): Promise<StepOutcome> {
    const { step, inputs } = this.parts;
    this.begin("a step");
    try {
      this.refuseTorn();
      signal?.throwIfAborted();
      if (step.stage) this.stage(batch);
      else inputs.hand(batch, (name, bytes) => step.write(name, bytes));
      this.prepared = undefined;
      this.isTorn = true;
      this.kept = undefined;
      const { stepMs } = await step.run({ beforeUpdate: this.beforeUpdate });
      const loss = this.readLoss();
      this.isTorn = false;
      this.hasStepped = true;
      this.version = {};
      this.done++;
      return { loss, stepMs };
    } catch (error) {
      throw inOneLine(error);
    } finally {
      this.end();
    }
  }

  prepare(batch: Batch): void {
    this.refuseClosed();
    this.stage(batch);
    if (this.parts.step.stage) this.prepared = batch;
  }

  async culprit(): Promise<string | null> {
    this.begin("the search for the culprit");
    try {
      if (!this.hasStepped) return null;
      return await culpritOf({ ...this.parts, kept: this.kept, rate: this.rate, runs: this.done - 1 });
    } catch (error) {
      throw inOneLine(error);
    } finally {
      this.end();
    }
  }

  async evaluate(batch: Batch): Promise<Readonly<Record<string, Evaluated>>> {
    const { step, inputs, evaluation } = this.parts;
    this.begin("an evaluation");
    try {
      this.refuseTorn();
      return await evaluation.run((take) => inputs.hand(batch, take, false), step, this.version);
    } catch (error) {
      throw inOneLine(error);
    } finally {
      this.end();
    }
  }

  setLearningRate(rate: number): void {
    this.refuseBusy();
    if (typeof rate !== "number" || !(rate >= 0) || !Number.isFinite(rate))
      throw new Error(`learning rate is not a finite number from 0 on: ${rate}`);
    for (const [name, bytes] of ratesAt(this.parts.graph, rate)) this.parts.step.write(name, bytes);
    this.rate = rate;
  }

  state(): TrainerState {
    this.refuseBusy();
    this.refuseTorn();
    const tensors = new Map(
      [...this.parts.state].map(([name, { dtype, shape }]): [string, Value] => {
        return [name, { dtype, shape, data: this.parts.step.read(name) }];
      }),
    );
    return { steps: this.done, learningRate: this.rate, tensors };
  }

  load(from: string | TrainerState): void {
    this.refuseBusy();
    const where = typeof from === "string" ? ` (${from})` : "";
    try {
      const { steps, learningRate, tensors } = typeof from === "string" ? readState(from) : from;
      if (!Number.isSafeInteger(steps) || steps < 0)
        throw new Error(`steps of a state are not a whole number: ${steps}${where}`);
      checkState(tensors, this.parts.state, where);
      this.setLearningRate(learningRate);
      this.isTorn = true;
      for (const [name, { data }] of tensors) this.parts.step.write(name, data);
      this.parts.step.skipTo?.(steps);
      this.isTorn = false;
      this.hasStepped = false;
      this.kept = undefined;
      this.version = {};
      this.done = steps;
    } catch (error) {
      throw inOneLine(error);
    }
  }

  saveState(file: string): void {
    const state = this.state();
    try {
      writeState(file, state, this.modelSha256);
    } catch (error) {
      throw inOneLine(error);
    }
  }

  save(file: string, { inference = false }: SaveOptions = {}): void {
    this.refuseBusy();
    this.refuseTorn();
    const { modelSha256: sha256, parts } = this;
    const { places, state, step } = parts;
    try {
      const values = new Map(
        [...places.keys()].flatMap((name): [string, Value][] => {
          const type = state.get(name);
          return type ? [[name, { dtype: type.dtype, shape: type.shape, data: step.read(name) }]] : [];
        }),
      );
      saveWeights(file, { model: this.file, sha256, places, values, inference });
    } catch (error) {
      throw inOneLine(error);
    }
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (!this.running) this.release();
  }

  private release(): void {
    const { step, evaluation, runtime } = this.parts;
    step.close();
    evaluation.close();
    runtime.close();
  }

  /** Sends a batch to the device, where that is another than the host; one that was prepared is on its way. */
  private stage(batch: Batch): void {
    const { step, inputs } = this.parts;
    if (!step.stage || this.prepared === batch) return;
    this.prepared = undefined;
    const values = new Map<string, Uint8Array>();
    inputs.hand(batch, (name, bytes) => void values.set(name, bytes));
    step.stage(values);
  }

  private readonly beforeUpdate = (): void => {
    if (Number.isFinite(this.readLoss())) return;
    const { step, state } = this.parts;
    this.kept = new Map([...state.keys()].map((name) => [name, step.read(name)]));
  };

  private readLoss(): number {
    const { name, dtype } = this.loss;
    return valuesOf(dtype, this.parts.step.read(name))[0] as number;
  }

  private begin(what: string): void {
    this.refuseBusy();
    this.running = what;
  }

  private end(): void {
    this.running = undefined;
    if (this.isClosed) this.release();
  }

  private refuseClosed(): void {
    if (this.isClosed) throw new Error(`the trainer is closed: ${this.file}`);
  }

  private refuseBusy(): void {
    this.refuseClosed();
    if (this.running) throw new Error(`${this.running} is still running: await it first`);
  }

  private refuseTorn(): void {
    if (this.isTorn)
      throw new Error("a step has failed halfway, the weights are those of no step: load a state to go on");
  }
}
