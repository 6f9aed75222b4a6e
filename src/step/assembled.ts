import type { Builder } from "../build/build.js";
import { NodeError } from "../graph/errors.js";
import { type Graph, type Node, prune } from "../graph/graph.js";
import { suffixed } from "../graph/names.js";
import { type ApartUpdates, accumulateGradients, flatten, soon, type Trained } from "./flat.js";
import { backward, dependents } from "./gradient.js";
import type { FlatParameters, State } from "./optimizer.js";

/** A loss in a graph, and the gradients from which its backward phase starts. */
export interface SeededLoss {
  /** Name of the loss. */
  readonly loss: string;
  /** The labels or regression targets; undefined for a loss that needs none. */
  readonly target?: string | undefined;
  /** Whether the loss is a mean over the batch: then micro-batches are averaged, else summed. */
  readonly isMean: boolean;
  /** Gradients by the names of the tensors whose they are. */
  readonly seeds: ReadonlyMap<string, string>;
}

/** What a training step is assembled from. */
export interface StepParts {
  /** The forward graph, whose nodes the builder has. */
  readonly model: Graph;
  /** The output that the loss is of, as messages call it. */
  readonly output: string;
  readonly accumulate: number;
  /** Models that have updates of their own; undefined: all parameters have one update. */
  readonly updates?: ApartUpdates | undefined;
  /** From so many bytes on parameters are in several flat buffers, those read last in a forward phase in the first. */
  readonly partsFrom?: number | undefined;
  /** Parameters that are trained. */
  readonly wanted: ReadonlySet<string>;
  /** Appends the loss of a micro-batch: its forward nodes, and the names that tensors of the model have in it. */
  readonly losses: (forward: readonly Node[], nameOf: (name: string) => string) => SeededLoss;
  /** What the mean loss is called. */
  readonly lossName: string;
  /** Appends what follows the mean loss; what the step hands out. */
  readonly finish: (loss: string) => Pick<Graph, "outputs" | "loss" | "trials">;
  /** Appends the update of flat buffers. */
  readonly update: (flats: readonly FlatParameters[]) => readonly State[];
}

/** The step of those parts: forward, loss and backward of each micro-batch, the update. */
export function assembled(b: Builder, parts: StepParts): Graph {
  const { model, accumulate } = parts;
  const trained: Trained = { flats: [], accumulations: new Map() };
  const batches: MicroBatch[] = [];
  let sums: ReadonlyMap<string, string> | undefined;
  for (let micro = 1; micro <= accumulate; micro++) {
    const batch = appendMicroBatch(b, parts, micro, batches.at(-1)?.names ?? new Map());
    batches.push(batch);
    b.scope = suffixed("gradients", micro);
    sums = sums
      ? accumulateGradients(b, sums, batch.gradients, trained, micro, accumulate)
      : flatten(b, model, batch.gradients, trained, {
          count: accumulate,
          updates: parts.updates,
          partsFrom: parts.partsFrom,
        });
  }
  const last = batches.at(-1) as MicroBatch;
  b.phase = "loss";
  const loss = meanLoss(
    b,
    batches.map((batch) => batch.loss),
    last.isMean,
    parts.lossName,
  );
  const made = parts.finish(loss);

  b.phase = "update";
  b.scope = "update";
  b.category = "temporary";
  const state = model.state.map(({ before, after }) => ({ before, after: last.names.get(after) ?? after }));
  state.push(...parts.update(trained.flats));
  return prune({
    name: model.name,
    nodes: soon(b.nodes, trained.accumulations),
    tensors: b.tensors,
    inputs: batches.flatMap(({ inputs }) => inputs),
    state,
    ...made,
    ...(model.origins && { origins: model.origins }),
  });
}

interface MicroBatch {
  /** Names that inputs and outputs of the model have in it, where those differ. */
  readonly names: ReadonlyMap<string, string>;
  readonly inputs: readonly string[];
  readonly loss: string;
  readonly isMean: boolean;
  /** Gradient of each trained parameter. */
  readonly gradients: ReadonlyMap<string, string>;
}

/** Appends forward, loss and backward of one micro-batch; `before` holds the names in the one before. */
function appendMicroBatch(
  b: Builder,
  { model, output, wanted, losses }: StepParts,
  micro: number,
  before: ReadonlyMap<string, string>,
): MicroBatch {
  // the first one's forward nodes are there already
  const start = micro > 1 ? b.nodes.length : 0;
  const names = micro > 1 ? repeatForward(b, model, micro, before) : before;
  const forward = b.nodes.slice(start);
  const nameOf = (name: string): string => names.get(name) ?? name;
  b.scope = suffixed("loss", micro);
  const { loss, target, isMean, seeds } = losses(forward, nameOf);
  const gradients = backward(b, forward, seeds, wanted);
  refuseLost(forward, seeds, wanted, gradients);
  if (gradients.size === 0)
    throw new Error(
      `no trainable parameters: output ${output} of ${model.name} depends on none (export with do_constant_folding=False, freeze fewer, or name another output in --loss)`,
    );
  return { names, inputs: [...model.inputs.map(nameOf), ...(target ? [target] : [])], loss, isMean, gradients };
}

/** Throws `no gradient: …` for a parameter that the loss depends on through differentiable ops and that got none. */
function refuseLost(
  forward: readonly Node[],
  seeds: ReadonlyMap<string, string>,
  wanted: ReadonlySet<string>,
  gradients: ReadonlyMap<string, string>,
): void {
  const lost = [...wanted].filter((name) => !gradients.has(name));
  if (!lost.length) return;
  for (const name of lost) {
    const reached = dependents(forward, new Set([name]));
    if (![...seeds.keys()].some((seed) => reached.has(seed))) continue;
    const reader = forward.find((node) => node.inputs.includes(name)) as Node;
    throw new NodeError(`no gradient: parameter ${name} of ${reader.op}`, reader, {
      hint: `it is on the loss's path; --freeze '${name}' leaves it as it is`,
    });
  }
}

/**
 * Adds the model's forward pass once more, on inputs of its own, from the state that the last one left. Returns the
 * names that inputs and outputs of the model have in it.
 */
function repeatForward(b: Builder, model: Graph, micro: number, before: ReadonlyMap<string, string>) {
  const names = new Map<string, string>();
  for (const name of model.inputs) {
    const copy = b.fresh(suffixed(name, micro));
    b.declare({ ...b.type(name), name: copy });
    names.set(name, copy);
  }
  for (const { before: first, after } of model.state) names.set(first, before.get(after) ?? after);
  b.phase = "forward";
  b.category = "activation";
  for (const node of model.nodes) {
    const outputs = node.outputs.map((name) => {
      if (!name) return "";
      const copy = b.fresh(suffixed(name, micro));
      names.set(name, copy);
      return copy;
    });
    const inputs = node.inputs.map((name) => names.get(name) ?? name);
    b.add(node.op, inputs, node.attributes, { domain: node.domain, name: suffixed(node.name, micro), outputs });
  }
  return names;
}

/** The step's loss: the only one there is, the mean or the sum of the micro-batches'. */
function meanLoss(b: Builder, losses: readonly string[], isMean: boolean, wish: string): string {
  const [first = ""] = losses;
  b.category = "activation";
  b.scope = "loss";
  const total = losses.reduce((sum, loss) => b.op("Add", [sum, loss]));
  const scalar = isMean && losses.length > 1 ? b.op("Mul", [total, b.scalar(1 / losses.length, first)]) : total;
  const name = b.fresh(wish);
  b.rename(scalar, name);
  return name;
}
