import { NodeError } from "../graph/errors.js";
import type { Graph, Tensor } from "../graph/graph.js";
import { valuesOf } from "../graph/values.js";
import { controlFlowHint } from "../ops/unsupported.js";
import type { Decided, Expansion, Knowledge } from "./expansion.js";
import { heldAnywhere } from "./held.js";
import { loopOps } from "./loops.js";
import { checkMade } from "./made-nodes.js";
import type { Initializer, Model, ModelNode, ModelValue } from "./model.js";
import { ancestorsOf, makersOf, neededPart } from "./needed.js";
import { sorted } from "./onnx-nodes.js";
import { sequenceOps } from "./sequences.js";
import { instanceOf, readsOf } from "./subgraphs.js";

/** Reads a part of a model, all of whose tensors are its outputs, as a graph. */
export type BindPart = (part: Model) => Pick<Graph, "tensors" | "outputs">;

/** An If is replaced by the branch that it takes. */
const choice: Decided = { needs: (node) => node.inputs.slice(0, 1), expand: branchOf };

/** What is replaced while a model is read, since shapes and constants decide what it does. */
const decided: ReadonlyMap<string, Decided> = new Map(Object.entries({ If: choice, ...loopOps, ...sequenceOps }));

const kindOf = ({ op, domain }: ModelNode): Decided | undefined => (domain === "" ? decided.get(op) : undefined);

/** What is known so far: tensors with their types and values, and sequences with their tensors. */
interface Known {
  readonly tensors: Map<string, Tensor>;
  readonly sequences: Map<string, readonly string[]>;
}

/** What a node depends on before it is known what takes its place. */
function readsBefore(node: ModelNode): readonly string[] {
  const kind = kindOf(node);
  return kind ? [...kind.needs(node), ...(kind.sequences?.(node) ?? [])] : readsOf(node);
}

/** The same, and what will most likely be read behind it. */
const readsLikely = (node: ModelNode): readonly string[] =>
  node.op !== "If" && kindOf(node) ? node.inputs : readsBefore(node);

/**
 * A model with all control flow that its outputs need written out: each If as the branch that it takes, each loop trip by
 * trip, sequences as the tensors in them. What decides may depend on constants and on shapes: `bind` tells, and is asked
 * for each node once. Throws `unsupported: control flow …` where it depends on data or parameters, and the number where a
 * loop has too many trips or makes too many nodes.
 */
export function withoutControlFlow(model: Model, outputs: readonly string[], bind: BindPart): Model {
  const progress: Progress = { mayGuess: true, hasGuessed: false, isBinding: false, made: 0 };
  try {
    return writtenOut(model, outputs, bind, progress);
  } catch (error) {
    // a trip that does not run may not even fit
    if (!progress.hasGuessed || !progress.isBinding) throw error;
    return writtenOut(model, outputs, bind, { ...progress, mayGuess: false, hasGuessed: false, made: 0 });
  }
}

/** How writing out goes. */
interface Progress {
  /** Whether trips may be written out before it is known that they run, and whether some are. */
  readonly mayGuess: boolean;
  hasGuessed: boolean;
  /** Whether `bind` is at work. */
  isBinding: boolean;
  /** Nodes made so far. */
  made: number;
}

function writtenOut(model: Model, outputs: readonly string[], bind: BindPart, progress: Progress): Model {
  let current = model;
  const known: Known = { tensors: new Map(), sequences: new Map() };
  for (;;) {
    const makers = makersOf(current.nodes);
    const open = (reads: typeof readsOf): Set<ModelNode> =>
      new Set([...ancestorsOf(outputs, makers, reads).nodes].filter(kindOf));
    const needed = open(readsBefore);
    const [first] = needed;
    if (!first) return current;
    const isReady = (node: ModelNode): boolean =>
      ![...ancestorsOf(kindOf(node)?.needs(node) ?? [], makers, readsBefore, known.tensors).nodes].some(kindOf);
    const learn = (nodes: readonly ModelNode[]): Set<ModelNode> => {
      const needs = nodes.flatMap((node) => kindOf(node)?.needs(node) ?? []);
      for (const [name, tensor] of boundTensors(current, needs, known.tensors, bind)) known.tensors.set(name, tensor);
      return new Set(nodes);
    };
    // one behind the other would be met in as many rounds
    const ready = (): Set<ModelNode> => {
      try {
        return learn([...new Set([...needed, ...open(readsLikely)])].filter(isReady));
      } catch {
        return learn([...needed].filter(isReady));
      }
    };
    progress.isBinding = true;
    const now = ready();
    progress.isBinding = false;
    const next = replaced(current, now, needed, known, progress);
    if (!next)
      throw new NodeError(`unsupported: ${first.op} of what cannot be followed`, first, { hint: controlFlowHint });
    const given = new Set([
      ...next.initializers.keys(),
      ...next.inputs.map(({ name }) => name),
      ...known.sequences.keys(),
    ]);
    const { nodes, unmade } = sorted(next.nodes, given, outputs);
    current = { ...next, nodes, unreadable: new Map([...unmade, ...(next.unreadable ?? [])]) };
  }
}

/** The model with those nodes replaced whose sequences are known, in order; undefined if there are none. */
function replaced(
  model: Model,
  ready: ReadonlySet<ModelNode>,
  needed: ReadonlySet<ModelNode>,
  { tensors, sequences }: Known,
  progress: Progress,
): Model | undefined {
  const initializers = new Map(model.initializers);
  const unreadable = new Map(model.unreadable);
  const names = new Set(model.nodes.map(({ name }) => name));
  const freeScope = freeScopes(model);
  const { mayGuess } = progress;
  const value = (name: string): readonly number[] | undefined => constantOf(tensors.get(name));
  const knowledge: Knowledge = { model, sequences, value, type: (name) => tensors.get(name), freeScope, mayGuess };
  let isChanged = false;
  const nodes = model.nodes.flatMap((node): readonly ModelNode[] => {
    const alias = node.op === "Identity" ? sequences.get(node.inputs[0] ?? "") : undefined;
    if (alias) sequences.set(node.outputs[0] ?? "", alias);
    const made = ready.has(node) ? expanded(node, knowledge, needed.has(node)) : undefined;
    if (!made) return alias ? [] : [node];
    isChanged = true;
    progress.made += made.nodes.length;
    checkMade(node, progress.made);
    if (made.isGuess) progress.hasGuessed = true;
    for (const [name, tensor] of made.initializers ?? []) initializers.set(name, tensor);
    for (const [name, reason] of made.unreadable ?? []) unreadable.set(name, reason);
    for (const [name, list] of made.sequences ?? []) sequences.set(name, list);
    names.delete(node.name);
    return made.nodes.map((one) => named(one, names));
  });
  return isChanged ? { ...model, nodes, initializers, unreadable } : undefined;
}

/** What takes a node's place; of one that may turn out not to be needed nothing while it cannot be told. */
function expanded(node: ModelNode, knowledge: Knowledge, isNeeded: boolean): Expansion | undefined {
  try {
    return kindOf(node)?.expand(node, knowledge);
  } catch (error) {
    if (isNeeded) throw error;
    return undefined;
  }
}

/** The node under a name that is not among those taken; takes it. */
function named(node: ModelNode, taken: Set<string>): ModelNode {
  let { name } = node;
  for (let i = 2; taken.has(name); i++) name = `${node.name}_${i}`;
  taken.add(name);
  if (name === node.name) return node;
  return { ...node, name };
}

/** The values of a constant. */
const constantOf = (tensor: Tensor | undefined): readonly number[] | undefined =>
  tensor?.category === "constant" && tensor.data ? valuesOf(tensor.dtype, tensor.data) : undefined;

/** What some tensors depend on, as far as it is not known yet, with the values of those that have some. */
function boundTensors(
  model: Model,
  needs: readonly string[],
  known: ReadonlyMap<string, Tensor>,
  bind: BindPart,
): Iterable<[string, Tensor]> {
  const { names, nodes } = ancestorsOf(needs, makersOf(model.nodes), readsOf, known);
  const given = needs.flatMap((name): [string, Tensor][] => {
    const tensor = model.initializers.get(name);
    return tensor && !known.has(name) ? [[name, { ...tensor, name, category: "constant" }]] : [];
  });
  // an input has a type once its dimensions are bound
  const inputs = model.inputs.filter(({ name }) => needs.includes(name) && !known.has(name));
  const made = [...nodes].flatMap(({ outputs }) => outputs.filter(Boolean));
  const wanted = [...made, ...inputs.map(({ name }) => name)];
  if (wanted.length === 0) return given;
  const met = [...names].flatMap((name) => known.get(name) ?? []);
  const part: Model = {
    ...model,
    inputs: [...model.inputs, ...met.filter(({ data }) => !data).map(asInput)],
    initializers: new Map([...model.initializers, ...met.flatMap(asInitializer)]),
    nodes: model.nodes.filter((node) => nodes.has(node)),
  };
  const { tensors, outputs } = bind(neededPart(part, wanted));
  const bound = wanted.flatMap((name, i): [string, Tensor][] => {
    const tensor = tensors.get(outputs[i] ?? name);
    return tensor ? [[name, { ...tensor, name }]] : [];
  });
  return [...given, ...bound];
}

const asInput = ({ name, dtype, shape }: Tensor): ModelValue => ({ name, dtype, dims: shape });

const asInitializer = ({ name, dtype, shape, data }: Tensor): [string, Initializer][] =>
  data ? [[name, { dtype, shape, data }]] : [];

/** The one element of a known bool. Throws `unsupported: control flow If` where it is not known. */
function truth(condition: Tensor | undefined, node: ModelNode): boolean {
  const isKnown = condition?.category === "constant" && condition.data && condition.dtype === "bool";
  const [value, ...others] = isKnown && condition.data ? valuesOf(condition.dtype, condition.data) : [];
  if (value === undefined || others.length > 0)
    throw new NodeError(`unsupported: control flow ${node.op}`, node, { hint: controlFlowHint });
  return value !== 0;
}

/** The branch of an If that it takes, names prefixed with the If's; of the other the tensors, which nothing reads. */
function branchOf(node: ModelNode, known: Knowledge): Expansion {
  const isTrue = truth(known.type(node.inputs[0] ?? ""), node);
  const { then_branch, else_branch } = node.subgraphs ?? {};
  const [branch, other] = isTrue ? [then_branch, else_branch] : [else_branch, then_branch];
  if (!branch) throw new NodeError(`${node.op} lacks the branch that it takes`, node);
  const made = instanceOf(branch, known.freeScope(`${node.name}/`));
  // a branch may hand on a tensor from outside, or one tensor twice: each output is a tensor of its own
  const results = made.outputs.flatMap((name, i): ModelNode[] => {
    const wanted = node.outputs[i];
    if (!wanted) return [];
    return [
      {
        name: `${node.name}/output_${i}`,
        domain: "",
        op: "Identity",
        inputs: [name],
        outputs: [wanted],
        attributes: {},
      },
    ];
  });
  const left = other ? heldAnywhere(other) : [];
  const scope = left.length ? known.freeScope(`${node.name}/not taken/`) : "";
  const unread = left.map((held): [string, Initializer] => [`${scope}${held.name}`, held]);
  const initializers = new Map([...made.initializers, ...unread]);
  return { ...made, initializers, nodes: [...made.nodes, ...results] };
}

/** Gives scopes that no name of the model starts with: the one wished for, or one like it. Each is given once. */
function freeScopes(model: Model): (wish: string) => string {
  const names = [
    ...model.initializers.keys(),
    ...model.inputs.map(({ name }) => name),
    ...model.nodes.flatMap(({ outputs }) => outputs),
  ];
  const taken = new Set<string>();
  return (wish) => {
    let free = wish;
    for (let i = 2; taken.has(free) || names.some((name) => name.startsWith(free)); i++)
      free = `${wish.slice(0, -1)}_${i}/`;
    taken.add(free);
    return free;
  };
}
