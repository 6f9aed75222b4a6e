import { FreeNames } from "../build/free-names.js";
import { few } from "../format.js";
import { isFloat } from "../graph/graph.js";
import { opOf } from "../ops/index.js";
import { isUniform } from "./held.js";
import type { Initializer, Model, ModelNode } from "./model.js";

/** A tensor that shares its place in the file with others, and is one of its own in the model that was exported. */
export interface Separated {
  /** Its name: the exporter's where the file tells it. */
  readonly name: string;
  /** The initializer that stands for it in the file. */
  readonly from: string;
}

/**
 * The model with tensors apart that its exporter made one because they held the same values. PyTorch's exporters do so
 * with the scales, biases and running statistics of a fresh model's norms: these are of one dimension and hold one number.
 *
 * The older exporter keeps the names, of nodes that hand a tensor on: such a node becomes a tensor again. Where only the
 * readers are left, running statistics get tensors of their own, one for each layer: a tensor that is read as something
 * else too, or beside another scale and bias, is none that two calls of one layer share.
 */
export function withSeparate(model: Model): { readonly model: Model; readonly separated: readonly Separated[] } {
  const separated: Separated[] = [];
  const initializers = new Map(model.initializers);
  const named = withNamed(model, initializers, separated);
  const nodes = withStatistics(named, initializers, separated, model);
  return separated.length ? { model: { ...model, initializers, nodes }, separated } : { model, separated };
}

/** The note on tensors that are apart again. */
export function separatedNotes(separated: readonly Separated[]): string[] {
  if (!separated.length) return [];
  const names = few(separated.map(({ name }) => name));
  return [
    `tensors that the exporter made one with others of the same values are separate again: ${separated.length} (${names})`,
  ];
}

/** Whether an exporter makes such tensors one without their being one layer's. */
const isMerged = (tensor: Initializer): boolean =>
  isFloat(tensor.dtype) && tensor.shape.length === 1 && isUniform(tensor);

/** The nodes without those that give an initializer another name; each of these is an initializer then. */
function withNamed(
  { nodes, outputs }: Model,
  initializers: Map<string, Initializer>,
  separated: Separated[],
): readonly ModelNode[] {
  const given = new Set(outputs.map(({ name }) => name));
  const sources = new Map<string, string>();
  const merged = new Map<string, boolean>();
  return nodes.filter((node) => {
    const [first = "", name = ""] = [node.inputs[0], node.outputs[0]];
    const from = sources.get(first) ?? first;
    const tensor = initializers.get(from);
    if (!tensor || node.inputs.length !== 1 || given.has(name) || !opOf(node).alias) return true;
    if (!merged.has(from)) merged.set(from, isMerged(tensor));
    if (!merged.get(from)) return true;
    sources.set(name, from);
    initializers.set(name, tensor);
    separated.push({ name, from });
    return false;
  });
}

/** Input slots of a node's running statistics, whichever mode the file says. */
const statisticSlots = (node: ModelNode): number[] => Object.keys(opOf(node).buffers ?? {}).map(Number);

/** The nodes with running statistics of their own. */
function withStatistics(
  nodes: readonly ModelNode[],
  initializers: Map<string, Initializer>,
  separated: Separated[],
  model: Model,
): readonly ModelNode[] {
  const readers = readersOf(nodes, initializers);
  const names = new FreeNames();
  names.reserve(model.nodes);
  for (const name of [...model.initializers.keys(), ...model.inputs.map((input) => input.name)]) names.take(name);
  /** For each tensor, the name that it has in each layer. */
  const own = new Map<string, Map<string, string>>();
  return nodes.map((node) => {
    const slots = statisticSlots(node);
    const inputs = node.inputs.map((name, slot) => {
      const tensor = initializers.get(name);
      const read = readers.get(name);
      if (!tensor || !read || !slots.includes(slot) || (read.layers.size < 2 && !read.otherwise)) return name;
      if (!isMerged(tensor)) return name;
      const known = own.get(name) ?? new Map<string, string>();
      own.set(name, known);
      const layer = read.otherwise ? node.outputs.join() : layerOf(node);
      // the first keeps the name, unless something else has it
      if (!known.has(layer)) known.set(layer, known.size || read.otherwise ? names.fresh(name) : name);
      return known.get(layer) as string;
    });
    inputs.forEach((name, slot) => {
      const from = node.inputs[slot] as string;
      if (name === from || initializers.has(name)) return;
      initializers.set(name, initializers.get(from) as Initializer);
      separated.push({ name, from });
    });
    return inputs.some((name, slot) => name !== node.inputs[slot]) ? { ...node, inputs } : node;
  });
}

/** Two calls of one layer read the same tensors but for their data. */
const layerOf = (node: ModelNode): string => JSON.stringify(node.inputs.slice(1));

/** Who reads each initializer that is some layer's running statistic: which layers, and whether as something else too. */
function readersOf(nodes: readonly ModelNode[], initializers: ReadonlyMap<string, Initializer>) {
  const readers = new Map<string, { readonly layers: Set<string>; otherwise: boolean }>();
  for (const node of nodes)
    for (const slot of statisticSlots(node)) {
      const name = node.inputs[slot] ?? "";
      if (!initializers.has(name)) continue;
      const read = readers.get(name) ?? { layers: new Set<string>(), otherwise: false };
      readers.set(name, read);
      read.layers.add(layerOf(node));
      if (node.inputs.filter((input) => input === name).length > 1) read.otherwise = true;
    }
  for (const node of nodes) {
    const slots = statisticSlots(node);
    node.inputs.forEach((name, slot) => {
      const read = readers.get(name);
      if (read && !slots.includes(slot)) read.otherwise = true;
    });
  }
  return readers;
}
