import { NodeError } from "../graph/errors.js";
import { type Decided, type Expansion, type Knowledge, Writer } from "./expansion.js";
import type { ModelNode } from "./model.js";
import { repeatedBody } from "./repeated-body.js";

/** Longer sequences are not written out. */
const mostElements = 4096;

const hint = "mutwo follows lists whose lengths and indices are known once dimensions are bound";

const intOf = (node: ModelNode, name: string, otherwise: number): number => {
  const attribute = node.attributes[name];
  return attribute?.type === "int" ? attribute.value : otherwise;
};

const inputOf = (node: ModelNode, slot: number): string => node.inputs[slot] ?? "";

const outputOf = (node: ModelNode): string => node.outputs[0] ?? "";

/** The place that an input names, from the front. Throws where it is not known, or outside. */
function placeOf(node: ModelNode, slot: number, length: number, otherwise: number, known: Knowledge): number {
  const name = inputOf(node, slot);
  const [given, ...more] = name ? (known.value(name) ?? []) : [otherwise];
  if (given === undefined || more.length)
    throw new NodeError(`unsupported: ${node.op} at an index that depends on data`, node, { hint });
  const place = given < 0 ? given + length : given;
  const last = node.op === "SequenceInsert" ? length : length - 1;
  if (!(place >= 0 && place <= last)) throw new NodeError(`${node.op} at ${given} of a sequence of ${length}`, node);
  return place;
}

const listOf = (node: ModelNode, known: Knowledge): readonly string[] | undefined =>
  known.sequences.get(inputOf(node, 0));

/** A node that makes a sequence of another one, at a place that input `slot` may name. */
const changing = (
  slot: number,
  change: (node: ModelNode, list: readonly string[], known: Knowledge) => readonly string[],
): Decided => ({
  needs: (node) => node.inputs.slice(slot).filter(Boolean),
  sequences: (node) => node.inputs.slice(0, 1),
  expand: (node, known) => {
    const list = listOf(node, known);
    return list && { nodes: [], sequences: new Map([[outputOf(node), checked(node, change(node, list, known))]]) };
  },
});

function checked(node: ModelNode, list: readonly string[]): readonly string[] {
  if (list.length > mostElements)
    throw new NodeError(`sequence of ${list.length} tensors: at most ${mostElements} are written out`, node, { hint });
  return list;
}

/** A node that makes a tensor of a sequence. */
const reading = (
  slot: number,
  read: (writer: Writer, node: ModelNode, list: readonly string[], known: Knowledge) => void,
): Decided => ({
  needs: (node) => node.inputs.slice(slot).filter(Boolean),
  sequences: (node) => node.inputs.slice(0, 1),
  expand: (node, known) => {
    const list = listOf(node, known);
    if (!list) return undefined;
    const writer = new Writer(known.model.opset, node, known.freeScope(`${node.name}/`));
    read(writer, node, list, known);
    return { nodes: writer.nodes, initializers: writer.initializers };
  },
});

function split(node: ModelNode, known: Knowledge): Expansion {
  const [x, sizesName] = [inputOf(node, 0), inputOf(node, 1)];
  const type = known.type(x);
  const given = sizesName ? known.value(sizesName) : [1];
  if (!type || !given) throw new NodeError("unsupported: SplitToSequence in sizes that depend on data", node, { hint });
  const axis = intOf(node, "axis", 0);
  const size = type.shape.at(axis);
  if (axis < -type.shape.length || size === undefined)
    throw new NodeError(`axis out of range: ${axis} for rank ${type.shape.length}`, node);
  const isOne = !sizesName || known.type(sizesName)?.shape.length === 0;
  const [step = 1] = given;
  if (given.some((part) => !(part >= (isOne ? 1 : 0))))
    throw new NodeError(`sizes of SplitToSequence are not positive: [${given}]`, node);
  const count = isOne ? Math.ceil(size / step) : given.length;
  if (count > mostElements)
    throw new NodeError(`sequence of ${count} tensors: at most ${mostElements} are written out`, node, { hint });
  const sizes = isOne ? Array.from({ length: count }, (_, i) => Math.min(step, size - i * step)) : given;
  if (sizes.reduce((sum, part) => sum + part, 0) !== size)
    throw new NodeError(`shape mismatch: pieces [${sizes}] of axis ${axis} of [${type.shape}]`, node);
  const writer = new Writer(known.model.opset, node, known.freeScope(`${node.name}/`));
  const names = writer.pieces(x, axis, sizes, sizesName !== "" || intOf(node, "keepdims", 1) !== 0);
  return { nodes: writer.nodes, initializers: writer.initializers, sequences: new Map([[outputOf(node), names]]) };
}

/** The body once for each place of the sequences; tensors beside them stay the same. */
function map(node: ModelNode, known: Knowledge): Expansion | undefined {
  const list = listOf(node, known);
  if (!list) return undefined;
  const body = repeatedBody(node, known.freeScope(`${node.name}/`));
  const runs = list.map((_, i) =>
    body.run(
      i,
      node.inputs.map((name) => known.sequences.get(name)?.[i] ?? name),
    ),
  );
  return {
    nodes: [...body.once.nodes, ...runs.flatMap(({ nodes }) => nodes)],
    initializers: body.once.initializers,
    unreadable: new Map([...body.once.unreadable, ...runs.flatMap(({ unreadable }) => [...unreadable])]),
    sequences: new Map(node.outputs.map((name, i) => [name, runs.map(({ outputs }) => outputs[i] as string)])),
  };
}

/** Ops of sequences: none is left, what reads a sequence reads its tensors. */
export const sequenceOps: Readonly<Record<string, Decided>> = {
  SequenceEmpty: {
    needs: () => [],
    expand: (node) => ({ nodes: [], sequences: new Map([[outputOf(node), []]]) }),
  },
  SequenceConstruct: {
    needs: () => [],
    expand: (node) => ({ nodes: [], sequences: new Map([[outputOf(node), checked(node, node.inputs)]]) }),
  },
  SequenceInsert: changing(2, (node, list, known) =>
    list.toSpliced(placeOf(node, 2, list.length, list.length, known), 0, inputOf(node, 1)),
  ),
  SequenceErase: changing(1, (node, list, known) => list.toSpliced(placeOf(node, 1, list.length, -1, known), 1)),
  SplitToSequence: { needs: (node) => node.inputs.filter(Boolean), expand: split },
  SequenceMap: { needs: () => [], sequences: (node) => node.inputs.slice(0, 1), expand: map },
  SequenceAt: reading(1, (writer, node, list, known) => {
    writer.identity(list[placeOf(node, 1, list.length, 0, known)] as string, outputOf(node));
  }),
  SequenceLength: reading(1, (writer, node, list) => writer.identity(writer.constant(list.length), outputOf(node))),
  ConcatFromSequence: reading(1, (writer, node, list) => {
    if (list.length === 0) throw new NodeError("ConcatFromSequence of a sequence without tensors", node);
    writer.joined(list, intOf(node, "axis", 0), intOf(node, "new_axis", 0) !== 0, outputOf(node));
  }),
};
