import { NodeError } from "../graph/errors.js";
import type { Graph, Tensor } from "../graph/graph.js";
import { valuesOf } from "../graph/values.js";
import { controlFlowHint } from "../ops/unsupported.js";
import type { Initializer, Model, ModelNode, ModelValue } from "./model.js";
import { ancestorsOf, makersOf, neededPart } from "./needed.js";
import { sorted } from "./onnx-nodes.js";
import { instanceOf, readsOf } from "./subgraphs.js";

/** Reads a part of a model, all of whose tensors are its outputs, as a graph. */
export type BindPart = (part: Model) => Pick<Graph, "tensors">;

const isChoice = ({ op, domain, subgraphs }: ModelNode): boolean =>
  op === "If" && domain === "" && subgraphs !== undefined;

/** What a node depends on before it is known which branch it takes. */
const readsBefore = (node: ModelNode): readonly string[] => (isChoice(node) ? node.inputs.slice(0, 1) : readsOf(node));

/**
 * A model with each If that its outputs need replaced by the branch that it takes. Which one that is may depend on
 * constants and on shapes: `bind` tells, and is asked for each node once. Throws `unsupported: control flow If` where it
 * depends on data or parameters.
 */
export function withBranchesTaken(model: Model, outputs: readonly string[], bind: BindPart): Model {
  let current = model;
  const known = new Map<string, Tensor>();
  for (;;) {
    const makers = makersOf(current.nodes);
    const open = [...ancestorsOf(outputs, makers, readsBefore).nodes].filter(isChoice);
    const [first] = open;
    if (!first) return current;
    const ready = open.filter(
      (node) => ![...ancestorsOf([conditionOf(node)], makers, readsBefore, known).nodes].some(isChoice),
    );
    if (ready.length === 0) throw new NodeError(`cyclic graph: ${conditionOf(first)}`, first);
    for (const tensor of boundTensors(current, ready.map(conditionOf), known, bind)) known.set(tensor.name, tensor);
    for (const node of ready) current = withBranch(current, node, truth(known.get(conditionOf(node)), node));
    const given = new Set([...current.initializers.keys(), ...current.inputs.map(({ name }) => name)]);
    const { nodes, unmade } = sorted(current.nodes, given, outputs);
    current = { ...current, nodes, unreadable: new Map([...unmade, ...(current.unreadable ?? [])]) };
  }
}

const conditionOf = (node: ModelNode): string => node.inputs[0] ?? "";

/** The tensors that some conditions depend on, as far as they are not known yet, with the values of those that have some. */
function boundTensors(
  model: Model,
  conditions: readonly string[],
  known: ReadonlyMap<string, Tensor>,
  bind: BindPart,
): Iterable<Tensor> {
  const { names, nodes } = ancestorsOf(conditions, makersOf(model.nodes), readsOf, known);
  const wanted = [...nodes].flatMap(({ outputs }) => outputs.filter(Boolean));
  const given = conditions.flatMap((name): Tensor[] => {
    const tensor = model.initializers.get(name);
    return tensor ? [{ ...tensor, name, category: "constant" }] : [];
  });
  if (wanted.length === 0) return given;
  const met = [...names].flatMap((name) => known.get(name) ?? []);
  const part: Model = {
    ...model,
    inputs: [...model.inputs, ...met.filter(({ data }) => !data).map(asInput)],
    initializers: new Map([...model.initializers, ...met.flatMap(asInitializer)]),
    nodes: model.nodes.filter((node) => nodes.has(node)),
  };
  return [...given, ...bind(neededPart(part, wanted)).tensors.values()];
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

/** A model with an If replaced by one of its branches, names prefixed with the If's. */
function withBranch(model: Model, node: ModelNode, condition: boolean): Model {
  const branch = node.subgraphs?.[condition ? "then_branch" : "else_branch"];
  if (!branch) throw new NodeError(`${node.op} lacks the branch that it takes`, node);
  const made = instanceOf(branch, freeScope(model, `${node.name}/`));
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
  return {
    ...model,
    initializers: new Map([...model.initializers, ...made.initializers]),
    unreadable: new Map([...(model.unreadable ?? []), ...made.unreadable]),
    nodes: model.nodes.flatMap((other) => (other === node ? [...made.nodes, ...results] : [other])),
  };
}

/** The scope, or one like it that no name of the model starts with. */
function freeScope(model: Model, scope: string): string {
  const names = [...model.initializers.keys(), ...model.nodes.flatMap(({ outputs }) => outputs)];
  let free = scope;
  for (let i = 2; names.some((name) => name.startsWith(free)); i++) free = `${scope.slice(0, -1)}_${i}/`;
  return free;
}
