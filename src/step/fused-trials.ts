import { Builder } from "../build/build.js";
import { type Graph, type GraphTrial, int, type Node, type Tensor, tensorBytes } from "../graph/graph.js";
import { ownerOf } from "../graph/names.js";
import { assembled, type SeededLoss } from "./assembled.js";
import { type Setting, settingOf } from "./coefficients.js";
import { earlyUpdates } from "./early-updates.js";
import { type FusedMember, preparedOf, refusal } from "./fusable.js";
import { gradientsApart } from "./gradients-apart.js";
import { seededGraph } from "./initial.js";
import { appendLoss } from "./loss.js";
import { ScaleInStep, scaledBy } from "./loss-scale.js";
import { lowerFor, type Target } from "./lower.js";
import { isSameOptimizer } from "./optimizer.js";
import { OverModels, type Part, type SideBySide } from "./over-models.js";
import { type Named, parseNamed } from "./settings.js";
import type { Step } from "./step.js";
import { appendUpdates, type PreparedModel, type StepOptions } from "./training.js";

/** The training step of several models as one, with a model axis. */
export interface FusedStep extends Step {
  /** Nodes of the forward graph and of the loss that are done for each model by itself. */
  readonly sideBySide: readonly SideBySide[];
}

/** How models are fused. */
export interface FusingOptions {
  /** Nodes of the forward graph that are done for each model by itself, in lanes. */
  readonly apart?: ReadonlySet<string>;
  /**
   * From so many bytes of parameters on, their gradients and updates are in a lane of their own, the updates in parts as
   * soon as they can be where nothing needs all gradients before; default: never.
   */
  readonly besideFrom?: number;
}

/**
 * The training step of several models of one architecture as one graph with a model axis (horizontal fusion, HFTA):
 * products are batched, convolutions grouped, norms over the channels of all; each has its own batch, loss and update.
 *
 * Names are those of the first member. A tensor that no node makes has each member's part in turn: the bytes of member i
 * of N are the i-th N-th of all, whatever its shape. `losses` has one loss for each, `loss` is their sum. Nodes named in
 * `apart`, those of ops without a rule (`Op.overModels`) and those that draw random numbers are done for each member, with
 * the seeds that its step alone has. Throws `cannot be fused: …` (`notFusable`), and what `trainingStep` does.
 */
export function fuseTrials(
  runtime: Target,
  members: readonly FusedMember[],
  { apart = new Set(), besideFrom = Number.POSITIVE_INFINITY }: FusingOptions = {},
): FusedStep {
  const models = preparedOf(runtime, members);
  const refused = refusal(members, models);
  if (refused) throw new Error(`cannot be fused: ${refused}`);
  const b = new Builder();
  const fused = new Fuser(b, members, models, { apart, besideFrom });
  const step = fused.step();
  const seeds = new Map(members.map(({ name, seed }) => [name, seed]));
  const baseline = seededGraph(lowerFor(runtime, step), members[0]?.seed ?? 0, (name) => {
    const { member, own } = memberOf(name);
    const seed = seeds.get(member);
    return seed === undefined ? { name, seed: 0 } : { name: own, seed };
  });
  const laid = inLanes(baseline, members, apart);
  const isBeside = fused.parameterBytes >= besideFrom;
  const whole = isBeside ? earlyUpdates(gradientsApart(laid, mostLanes), mostLanes) : laid;
  return { step, baseline: whole, sideBySide: fused.sideBySide };
}

/** The member that a node is of, by the first part of its name, and the rest of it. */
const memberOf = (name: string): { member: string; own: string } => {
  const [member = ""] = name.split("/", 1);
  return { member, own: name.slice(member.length + 1) };
};

/** So many lanes the nodes of members have at most: beyond, they wait for each other anyway. */
const mostLanes = 8;

/** The step with what is kept apart in lanes, so that the members' nodes run at the same time. */
function inLanes(graph: Graph, members: readonly FusedMember[], apart: ReadonlySet<string>): Graph {
  if (!apart.size) return graph;
  const ranks = new Map(members.map(({ name }, rank) => [name, rank % mostLanes]));
  const nodes = graph.nodes.map((node): Node => {
    const { member, own } = memberOf(node.name);
    const lane = ranks.get(member);
    return lane && ownerOf(own, apart) !== undefined ? { ...node, lane } : node;
  });
  return { ...graph, nodes };
}

/** Builds the step of several models as one. */
class Fuser {
  private readonly names: readonly string[];
  private readonly forward: OverModels;
  private readonly first: PreparedModel;
  private readonly options: StepOptions;
  private readonly optimizers: readonly [Named, ...Named[]];
  private readonly clipNorm: Setting | undefined;
  private readonly lossScale: number | ScaleInStep;
  readonly sideBySide: SideBySide[] = [];
  /** Of what is trained. */
  parameterBytes = 0;
  private total: string | undefined;

  constructor(
    private readonly b: Builder,
    members: readonly FusedMember[],
    private readonly models: readonly PreparedModel[],
    private readonly fusing: Required<FusingOptions>,
  ) {
    this.names = members.map(({ name }) => name);
    this.first = models[0] as PreparedModel;
    this.options = (members[0] as FusedMember).options;
    this.optimizers = members.map(({ options }) => parseNamed(options.optimizer)) as [Named, ...Named[]];
    const norms = members.flatMap(({ options }) => options.clipNorm ?? []);
    this.clipNorm = norms.length ? settingOf(norms) : undefined;
    const { lossScale } = this.first;
    this.lossScale = typeof lossScale === "number" ? lossScale : new ScaleInStep(b, lossScale, members.length);
    this.forward = new OverModels(b, this.names, fusing.apart);
  }

  step(): Graph {
    const { b, first, options } = this;
    const model = this.model();
    const { accumulate = 1 } = options;
    const { optimizers, clipNorm, lossScale } = this;
    const [one] = optimizers;
    const isApart =
      clipNorm !== undefined ||
      typeof lossScale !== "number" ||
      optimizers.some((optimizer) => !isSameOptimizer(optimizer, one));
    const wanted = [...first.wanted].flatMap((name) => this.forward.values.declared(name) ?? []);
    return assembled(b, {
      model,
      output: first.output,
      accumulate,
      wanted: new Set(wanted),
      updates: isApart ? { models: this.names.length, isGuarded: typeof lossScale !== "number" } : undefined,
      // else all gradients must be there first
      partsFrom: clipNorm === undefined && typeof lossScale === "number" ? this.fusing.besideFrom : undefined,
      losses: (_, nameOf) => this.losses(nameOf, accumulate),
      lossName: "losses",
      finish: (losses) => this.finish(losses),
      update: (flats) => {
        this.parameterBytes = flats.reduce((sum, { parameters }) => sum + tensorBytes(b.type(parameters)), 0);
        return appendUpdates(b, flats, { optimizers, rates: options.rates, lossScale, clipNorm });
      },
    });
  }

  /** The forward graph of all models. */
  private model(): Graph {
    const { b, forward, first } = this;
    const { values } = forward;
    forward.append(this.models.map(({ model }) => model));
    this.sideBySide.push(...forward.sideBySide);
    b.phase = "forward";
    b.category = "activation";
    const declared = (names: readonly string[]): string[] => names.flatMap((name) => values.declared(name) ?? []);
    const state = first.model.state.flatMap(({ before, after }) => {
      const own = values.declared(before);
      return own === undefined ? [] : [{ before: own, after: values.joint(after, 0, b.type(own).shape) }];
    });
    return {
      ...first.model,
      nodes: [...b.nodes],
      tensors: b.tensors,
      inputs: declared(first.model.inputs),
      outputs: [],
      state,
    };
  }

  /** Appends the losses of a micro-batch. */
  private losses(nameOf: (name: string) => string, accumulate: number): SeededLoss {
    const { b, first, lossScale } = this;
    const over = new OverModels(b, this.names);
    const { values } = over;
    values.holdAs(first.output, this.forward.values, nameOf);
    const before = [...values.forms(first.output)];
    const scale = typeof lossScale === "number" ? lossScale : b.type(lossScale.scale);
    if (typeof scale !== "number") values.holdJoint(scale.name, { dtype: scale.dtype, shape: [] }, scale.name, 0);
    const parts = this.lossParts(scale, accumulate);
    const { loss, target, isMean, seed } = parts[0] as LossPart;
    over.append(parts.map(({ losses }) => losses));
    const vector = values.joint(loss, 0, [this.names.length]);
    // of one batch the losses are there before the gradients
    this.total = accumulate === 1 ? this.sum(vector) : undefined;
    over.append(parts.map(({ gradients }) => gradients));
    if (!this.sideBySide.some(({ node }) => over.sideBySide.some((other) => other.node === node)))
      this.sideBySide.push(...over.sideBySide);
    const seeds = new Map(values.inForms(before, seed));
    for (const gradient of seeds.values()) b.redeclare({ ...b.type(gradient), category: "gradient" });
    return { loss: vector, target: target && values.declared(target), isMean, seeds };
  }

  /** The loss of each model by itself, and its gradient. */
  private lossParts(scale: number | Tensor, accumulate: number): readonly LossPart[] {
    const made = new Map<PreparedModel, LossPart>();
    return this.models.map((model) => {
      const part = made.get(model) ?? lossPart(model, scale, accumulate);
      made.set(model, part);
      return part;
    });
  }

  private sum(losses: string): string {
    const { b } = this;
    b.scope = "loss";
    return b.op("ReduceSum", [losses], { keepdims: int(0) });
  }

  private finish(losses: string): Pick<Graph, "outputs" | "loss" | "trials"> {
    const { b } = this;
    const loss = b.fresh("loss");
    b.rename(this.total ?? this.sum(losses), loss);
    const trials = this.names.map((name, index): GraphTrial => ({ name, array: "", index, loss: losses }));
    return { outputs: [losses, loss], loss, trials };
  }
}

/** The loss of one model, and its gradient. */
interface LossPart {
  readonly losses: Part;
  readonly gradients: Part;
  readonly loss: string;
  readonly target: string | undefined;
  readonly isMean: boolean;
  readonly seed: string;
}

/** `scale` is the number that the gradient is multiplied by, or the tensor that has it. */
function lossPart({ model, output, loss: named }: PreparedModel, scale: number | Tensor, accumulate: number): LossPart {
  const b = new Builder(model, false);
  b.phase = "loss";
  b.scope = "loss";
  const { loss, target, isMean, gradient } = appendLoss(b, b.type(output), named);
  const count = b.nodes.length;
  b.phase = "backward";
  b.category = "temporary";
  const share = isMean ? 1 / accumulate : 1;
  const seed =
    typeof scale === "number"
      ? gradient(scale * share)
      : scaledBy(b, gradient(share), b.declare({ ...scale, shape: [] }));
  const part = (nodes: readonly Node[]): Part => ({ nodes, tensors: b.tensors });
  return { losses: part(b.nodes.slice(0, count)), gradients: part(b.nodes.slice(count)), loss, target, isMean, seed };
}
