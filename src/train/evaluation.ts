import { typedView } from "../data/numbers.js";
import type { Graph, Tensor } from "../graph/graph.js";
import { tensorOf } from "../graph/graph.js";
import { layout } from "../memory/layout.js";
import type { BoundModel } from "../model/read.js";
import { bindRead } from "../model/read.js";
import type { LoadedStep, Runtime } from "../runtime/runtime.js";
import { fuseAttention } from "../step/attention.js";
import { initialValues, seededGraph } from "../step/initial.js";
import { lowerFor } from "../step/lower.js";
import { inPrecision } from "../step/precision.js";
import { lossOutput, type TrainingOptions } from "../step/training.js";
import type { StepInputs } from "./step-inputs.js";
import type { Evaluated, OutputTensor } from "./trainer.js";
import { withoutData } from "./without-data.js";

/** What an evaluation is made of, beside the model. */
export interface EvaluationOptions extends Pick<TrainingOptions, "loss" | "precision"> {
  readonly dims: Readonly<Record<string, number>>;
  readonly seed: number;
}

/**
 * A model's forward graph in inference mode: batch norm by running statistics, dropout off. It has memory of its own, from
 * the first evaluation on, into which weights are copied when they have changed.
 */
export class Evaluation {
  /** What it gives, shapes of whole batches: what the loss is of first. */
  readonly outputs: readonly OutputTensor[];
  private readonly graph: Graph;
  /** What it reads that steps change: parameters and running statistics. */
  private readonly shared: readonly string[];
  /** First values of what no step knows. */
  private readonly own: ReadonlyMap<string, Uint8Array>;
  private loaded: LoadedStep | undefined;
  /** Which weights it has: `weights` of the last run. */
  private weights: unknown;

  /** `state` are the names of what a step changes. */
  constructor(
    { model }: BoundModel,
    private readonly runtime: Runtime,
    state: ReadonlySet<string>,
    private readonly inputs: StepInputs,
    { dims, loss, precision, seed }: EvaluationOptions,
  ) {
    const bind = (output: string | null | undefined): Graph =>
      bindRead(model, { dims, runtime, batchNorm: "inference", dropsNothing: true, output }).graph;
    const needed = bind(lossOutput(loss));
    const forward = withOthers(needed, () => bind(undefined));
    const precise = precision ? inPrecision(forward, precision).graph : forward;
    const trained = new Set([...precise.tensors.values()].flatMap((t) => (t.category === "parameter" ? [t.name] : [])));
    const attending = runtime.fuses
      ? fuseAttention(precise, trained, (node, tensors) => runtime.hasKernel(node, tensors))
      : precise;
    const lowered = seededGraph(lowerFor(runtime, attending), seed);
    const residents = initialValues(lowered, attending, seed);
    for (const name of lowered.inputs) residents.delete(name);
    this.shared = [...residents.keys()].filter((name) => state.has(name));
    for (const name of this.shared) residents.delete(name);
    this.own = residents;
    this.graph = withoutData(lowered, (name) => this.shared.includes(name));
    const first = needed.outputs[0] as string;
    const names = [first, ...lowered.outputs.filter((name) => name !== first)];
    this.outputs = names.map((name) => {
      const { dtype, shape } = tensorOf(lowered, name);
      return { name, dtype, shape: joinedShape(shape, inputs.micros) };
    });
  }

  /** Bytes of its arena; 0 until it is run first. */
  get allocatedBytes(): number {
    return this.loaded?.allocatedBytes ?? 0;
  }

  /** What the model gives for the batch in `hand`, with the weights of a step; `version` says when those are others. */
  async run(
    hand: (take: (name: string, bytes: Uint8Array, micro: number) => void) => void,
    step: LoadedStep,
    version: unknown,
  ): Promise<Readonly<Record<string, Evaluated>>> {
    const micros: { readonly name: string; readonly bytes: Uint8Array }[][] = [];
    hand((_name, bytes, micro) => {
      const list = micros[micro] ?? [];
      const name = this.inputs.tensors[list.length] as { name: string };
      list.push({ name: name.name, bytes: this.inputs.micros > 1 ? bytes.slice() : bytes });
      micros[micro] = list;
    });
    const loaded = this.load();
    if (this.weights !== version) for (const name of this.shared) loaded.write(name, step.read(name));
    this.weights = version;
    const parts = new Map(this.outputs.map(({ name }) => [name, [] as Uint8Array[]]));
    for (const batch of micros) {
      for (const { name, bytes } of batch) if (this.graph.inputs.includes(name)) loaded.write(name, bytes);
      await loaded.run();
      for (const [name, list] of parts) list.push(loaded.read(name));
    }
    return Object.fromEntries(
      this.outputs.map(({ name, dtype, shape }) => {
        const list = parts.get(name) as Uint8Array[];
        const bytes = list.length === 1 ? (list[0] as Uint8Array) : new Uint8Array(Buffer.concat(list));
        return [name, { dtype, shape, data: typedView(dtype, bytes) }];
      }),
    );
  }

  close(): void {
    this.loaded?.close();
  }

  private load(): LoadedStep {
    if (this.loaded) return this.loaded;
    this.loaded = this.runtime.load(this.graph, layout(this.graph));
    for (const [name, data] of this.own) this.loaded.write(name, data);
    return this.loaded;
  }
}

/**
 * The graph with all outputs of the model, where these can be given: of ops that are known, from the same inputs and
 * weights. Otherwise what the loss is of alone.
 */
function withOthers(needed: Graph, whole: () => Graph): Graph {
  let all: Graph;
  try {
    all = whole();
  } catch {
    return needed;
  }
  const isSame = ({ name, category }: Tensor): boolean => all.tensors.get(name)?.category === category;
  const weights = [...needed.tensors.values()].filter(
    ({ category }) => category === "parameter" || category === "buffer",
  );
  const isWhole =
    all.inputs.every((name) => needed.inputs.includes(name)) &&
    needed.outputs.every((name) => all.outputs.includes(name)) &&
    weights.every(isSame);
  return isWhole ? all : needed;
}

/** The shape of what several micro-batches give, joined along dimension 0: of scalars a list. */
const joinedShape = (shape: readonly number[], micros: number): readonly number[] =>
  micros === 1 ? shape : [(shape[0] ?? 1) * micros, ...shape.slice(1)];
