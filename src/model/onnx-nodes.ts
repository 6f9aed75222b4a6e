import { elementCount, type TensorType } from "../graph/graph.js";
import { bytesOf, valuesOf } from "../graph/values.js";
import { ownOpset } from "../ops/call.js";
import type { ModelNode, ModelValue } from "./model.js";
import { readsOf } from "./subgraphs.js";

type Constant = TensorType & { readonly data: Uint8Array };

/** Nodes in topological order, and the tensors that they read or the file gives out and nothing makes, and why. */
export interface Sorted {
  readonly nodes: ModelNode[];
  readonly unmade: ReadonlyMap<string, Error>;
}

/** Nodes in topological order: the file's own where it is one. Throws `duplicate tensor: …`. */
export function sorted(nodes: readonly ModelNode[], given: ReadonlySet<string>, outputs: readonly string[]): Sorted {
  const maker = new Map<string, number>();
  const unmade = new Map<string, Error>();
  nodes.forEach((node, index) => {
    for (const name of node.outputs) {
      if (!name) continue;
      if (maker.has(name) || given.has(name)) throw new Error(`duplicate tensor: ${name} (node ${node.name})`);
      maker.set(name, index);
    }
  });
  for (const name of outputs)
    if (!maker.has(name) && !given.has(name)) unmade.set(name, new Error(`output that nothing makes: ${name}`));
  const order: ModelNode[] = [];
  const state = new Uint8Array(nodes.length); // 1 being visited, 2 done
  const reads = nodes.map(readsOf);
  for (let root = 0; root < nodes.length; root++) {
    const stack: [index: number, input: number][] = [[root, 0]];
    while (stack.length) {
      const top = stack[stack.length - 1] as [number, number];
      const node = nodes[top[0]] as ModelNode;
      if (state[top[0]] === 2) {
        stack.pop();
        continue;
      }
      state[top[0]] = 1;
      const name = reads[top[0]]?.[top[1]++];
      if (name === undefined) {
        state[top[0]] = 2;
        order.push(node);
        stack.pop();
        continue;
      }
      if (!name || given.has(name)) continue;
      const from = maker.get(name);
      if (from === undefined) unmade.set(name, new Error(`input that nothing makes: ${name} (node ${node.name})`));
      else if (state[from] === 1) unmade.set(name, new Error(`cyclic graph: ${name} (node ${node.name})`));
      else if (state[from] === 0) stack.push([from, 0]);
    }
  }
  return { nodes: order, unmade };
}

/**
 * SplitToSequence whose sequence only SequenceAt reads, at constant positions, as Split: how the dynamo exporter writes
 * a plain split. `constants` receives the sizes. Sequences of any other use stay as they are.
 */
export function sequencesAsSplits(
  nodes: readonly ModelNode[],
  constants: Map<string, Constant>,
  types: ReadonlyMap<string, ModelValue>,
  outputs: ReadonlySet<string>,
): readonly ModelNode[] {
  if (!nodes.some((node) => node.op === "SplitToSequence")) return nodes;
  const known = smallConstants(nodes, constants);
  const readers = new Map<string, ModelNode[]>();
  for (const node of nodes) if (node.op === "SplitToSequence") readers.set(node.outputs[0] ?? "", []);
  for (const node of nodes) for (const name of readsOf(node)) readers.get(name)?.push(node);
  const replaced = new Map<ModelNode, readonly ModelNode[]>();
  for (const node of nodes) {
    const [input = "", split = ""] = node.inputs;
    const sequence = node.outputs[0] ?? "";
    if (node.op !== "SplitToSequence" || outputs.has(sequence)) continue;
    const picks = readers.get(sequence) ?? [];
    const positions = picks.map((pick) =>
      pick.op === "SequenceAt" ? known.get(pick.inputs[1] ?? "")?.[0] : undefined,
    );
    const axis = node.attributes.axis?.type === "int" ? node.attributes.axis.value : 0;
    const parts = split ? known.get(split) : node.attributes.keepdims?.value === 0 ? undefined : [1];
    const sizes = parts && partSizes(parts, types.get(input)?.dims.at(axis), positions);
    const picked = positions.map((at) => (sizes && at !== undefined && at < 0 ? at + sizes.length : at));
    if (!sizes || !picked.every((at) => at !== undefined && at in sizes)) continue;
    const names = sizes.map((_, i) => picks[picked.indexOf(i)]?.outputs[0] || `${sequence}/${i}`);
    const sizesName = `${sequence}/sizes`;
    constants.set(sizesName, { dtype: "int64", shape: [sizes.length], data: bytesOf("int64", sizes) });
    const attributes = { axis: { type: "int", value: axis } } as const;
    replaced.set(node, [
      { ...node, op: "Split", inputs: [input, sizesName], outputs: names, attributes, opset: ownOpset },
    ]);
    for (const [i, pick] of picks.entries()) {
      const name = names[picked[i] as number] as string;
      // a part that is picked twice needs a second name
      replaced.set(pick, pick.outputs[0] === name ? [] : [{ ...pick, op: "Identity", inputs: [name], attributes: {} }]);
    }
  }
  return nodes.flatMap((node) => replaced.get(node) ?? [node]);
}

const maxParts = 1024;

/**
 * Sizes of a split's parts. One number stands for the size of every part: how many there are follows from the dimension,
 * or, if the file does not tell it, from the parts that are read, provided that these leave no gap (`Split` checks).
 */
function partSizes(
  parts: readonly number[],
  dim: number | string | null | undefined,
  positions: readonly (number | undefined)[],
): readonly number[] | undefined {
  const [size = 0] = parts;
  if (parts.length !== 1 || size < 1) return parts.length > 1 ? parts : undefined;
  if (typeof dim === "number" && dim / size <= maxParts)
    return Array.from({ length: Math.ceil(dim / size) }, (_, i) => Math.min(size, dim - i * size));
  const read = [...new Set(positions)].sort((a, z) => Number(a) - Number(z));
  return read.length > 1 && read.every((at, i) => at === i) ? read.map(() => size) : undefined;
}

/** Values of initializers and Constant nodes that could be positions or sizes. */
function smallConstants(nodes: readonly ModelNode[], constants: ReadonlyMap<string, Constant>) {
  const known = new Map<string, readonly number[]>();
  const add = (name: string, { dtype, shape, data }: Constant): void => {
    if (elementCount(shape) <= maxParts) known.set(name, valuesOf(dtype, data));
  };
  for (const [name, constant] of constants) add(name, constant);
  for (const node of nodes) {
    const name = node.outputs[0] ?? "";
    const attribute = node.op === "Constant" ? Object.values(node.attributes)[0] : undefined;
    if (attribute?.type === "tensor") add(name, attribute.value);
    else if (attribute?.type === "int") known.set(name, [attribute.value]);
    else if (attribute?.type === "ints") known.set(name, attribute.value);
  }
  return known;
}
