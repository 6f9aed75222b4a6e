import type { ProtoGraph, ProtoNode, ProtoTensor } from "./onnx-proto.js";

/** The one element of a bool tensor; undefined for any other. */
function truth(tensor: ProtoTensor | undefined): boolean | undefined {
  if (tensor?.dataType !== 9) return undefined;
  const value = tensor.rawData?.length ? tensor.rawData[0] : tensor.int32Data?.[0];
  return value === undefined ? undefined : value !== 0;
}

/** A branch's nodes and initializers: its own names prefixed, its outputs named as the If names them. */
function taken(branch: ProtoGraph, node: ProtoNode, scope: string): Required<Pick<ProtoGraph, "node" | "initializer">> {
  const own = new Map<string, string>();
  for (const inner of branch.node ?? []) for (const name of inner.output ?? []) own.set(name, `${scope}${name}`);
  for (const { name = "" } of branch.initializer ?? []) own.set(name, `${scope}${name}`);
  const rename = (name: string): string => own.get(name) ?? name;
  const nodes = (branch.node ?? []).map((inner, i) => ({
    ...inner,
    opType: inner.opType ?? "",
    domain: inner.domain ?? "",
    attribute: inner.attribute ?? [],
    name: `${scope}${inner.name || `${inner.opType}_${i}`}`,
    input: (inner.input ?? []).map(rename),
    output: (inner.output ?? []).map(rename),
  }));
  // a branch may hand on a tensor from outside, or one tensor twice: each output is a tensor of its own
  const results = (branch.output ?? []).map(({ name }, i) => ({
    opType: "Identity",
    name: `${scope}output_${i}`,
    input: [rename(name)],
    output: [node.output?.[i] || `${scope}output_${i}`],
  }));
  const initializer = (branch.initializer ?? []).map((tensor) => renamed(tensor, rename(tensor.name ?? "")));
  return { node: [...nodes, ...results], initializer };
}

/** The same tensor under another name; its other fields may be defaults that only the decoder's prototype has. */
const renamed = (tensor: ProtoTensor, name: string): ProtoTensor =>
  Object.assign(Object.create(Object.getPrototypeOf(tensor) as object) as ProtoTensor, tensor, { name });

/**
 * A graph with each If whose condition is constant replaced by the branch that it takes, names prefixed with the If's.
 * Other nodes that hold graphs stay as they are.
 */
export function withBranchesTaken(graph: ProtoGraph): Pick<ProtoGraph, "node" | "initializer"> {
  const nodes = graph.node ?? [];
  if (!nodes.some((node) => node.opType === "If")) return graph;
  const known = new Map<string, boolean>();
  const learn = (name: string | undefined, tensor: ProtoTensor | undefined): void => {
    const value = truth(tensor);
    if (name && value !== undefined) known.set(name, value);
  };
  const initializer = [...(graph.initializer ?? [])];
  for (const tensor of initializer) learn(tensor.name, tensor);
  const made: ProtoNode[] = [];
  const visit = (list: readonly ProtoNode[]): void => {
    for (const node of list)
      if (node.opType === "Constant") learn(node.output?.[0], node.attribute?.find(({ name }) => name === "value")?.t);
    for (const [index, node] of list.entries()) {
      const condition = node.opType === "If" ? known.get(node.input?.[0] ?? "") : undefined;
      const wanted = condition ? "then_branch" : "else_branch";
      const branch = node.attribute?.find(({ name }) => name === wanted)?.g;
      if (condition === undefined || !branch) {
        made.push(node);
        continue;
      }
      const inner = taken(branch, node, `${node.name || `If_${index}`}/`);
      for (const tensor of inner.initializer) learn(tensor.name, tensor);
      initializer.push(...inner.initializer);
      visit(inner.node);
    }
  };
  visit(nodes);
  return { node: made, initializer };
}
