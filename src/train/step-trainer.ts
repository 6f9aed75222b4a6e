import type { Batch, BatchTensor } from "../data/batch.js";
import { few } from "../format.js";
import { type Graph, isFloat, type Tensor, type TensorType, tensorBytes, tensorOf } from "../graph/graph.js";
import { inOneLine } from "../graph/message.js";
import { type Value, valuesOf } from "../graph/values.js";
import { saveWeights, type WeightPlace } from "../model/save.js";
import { allFinite, firstNonFinite } from "../run/finite.js";
import type { Run } from "../run/run.js";
import type { Device, LoadedStep, Runtime } from "../runtime/runtime.js";
import { ratesAt } from "../step/optimizer.js";
import type { Evaluation } from "./evaluation.js";
import { readState, writeState } from "./state-file.js";
import type { StepInputs } from "./step-inputs.js";
import type { Evaluated, OutputTensor, StepOutcome, Trainer, TrainerState } from "./trainer.js";

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

/** Values before an update, where they were kept. */
type Kept = ReadonlyMap<string, Uint8Array>;

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
  private kept: Kept | undefined;
  private hasStepped = false;

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
      inputs.hand(batch, (name, bytes) => step.write(name, bytes));
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

  prepare(_batch: Batch): void {
    this.refuseClosed();
  }

  async culprit(): Promise<string | null> {
    const { graph, runtime, step, state } = this.parts;
    this.begin("the search for the culprit");
    try {
      if (!this.hasStepped) return null;
      const values = new Map(this.kept ?? [...state.keys()].map((name) => [name, step.read(name)] as const));
      const odd = (names: Iterable<string>): string | undefined =>
        [...names].find((name) => {
          const { dtype } = tensorOf(graph, name);
          return isFloat(dtype) && !allFinite(dtype, values.get(name) ?? step.read(name));
        });
      const input = odd(graph.inputs);
      if (input !== undefined) return `input ${input} of the batch holds NaN or infinity`;
      const weight = odd(state.keys());
      if (weight !== undefined)
        return `${weight} holds NaN or infinity${this.kept ? " since the step before: its update made it" : " after the step"}`;
      for (const name of graph.inputs) values.set(name, step.read(name));
      for (const [name, bytes] of ratesAt(graph, this.rate)) values.set(name, bytes);
      const node = await firstNonFinite(graph, runtime, values);
      return node && `${node.name} (${node.op}, ${node.phase}) makes ${node.outputs[0]} not finite`;
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
      this.checkState(tensors, where);
      this.setLearningRate(learningRate);
      this.isTorn = true;
      for (const [name, { data }] of tensors) this.parts.step.write(name, data);
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

  save(file: string): void {
    const { tensors } = this.state();
    const { modelSha256: sha256, parts } = this;
    try {
      saveWeights(file, { model: this.file, sha256, places: parts.places, values: tensors });
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

  private readonly beforeUpdate = (): void => {
    if (Number.isFinite(this.readLoss())) return;
    const { step, state } = this.parts;
    this.kept = new Map([...state.keys()].map((name) => [name, step.read(name)]));
  };

  private readLoss(): number {
    const { name, dtype } = this.loss;
    return valuesOf(dtype, this.parts.step.read(name))[0] as number;
  }

  /** Throws for tensors that are not those of this trainer's state, in name, element type or shape. */
  private checkState(tensors: TrainerState["tensors"], where: string): void {
    const { state } = this.parts;
    const missing = [...state.keys()].filter((name) => !tensors.has(name));
    if (missing.length) throw new Error(`the state lacks ${few(missing)}${where}`);
    const unknown = [...tensors.keys()].filter((name) => !state.has(name));
    if (unknown.length) throw new Error(`the state holds what this training has not: ${few(unknown)}${where}`);
    for (const [name, { dtype, shape, data }] of tensors) {
      const own = state.get(name) as TensorType;
      if (own.dtype !== dtype || own.shape.join() !== [...shape].join() || data.length !== tensorBytes(own))
        throw new Error(
          `shape mismatch: ${name} of the state is ${dtype}[${shape}], here ${own.dtype}[${own.shape}]${where}`,
        );
    }
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
