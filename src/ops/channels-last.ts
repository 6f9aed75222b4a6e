import { ints, type Node, type TensorType } from "../graph/graph.js";
import type { Emit } from "./emit.js";
import { native } from "./kinds.js";
import type { Op, OpCall, OpTable } from "./op.js";

/** The axes of an image, channels first, in the order of one with its channels last: [N, C, H, W] is [N, H, W, C]. */
export const lastOrder = (rank: number): number[] => [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1];

/** The other way: [N, H, W, C] is [N, C, H, W]. */
export const firstOrder = (rank: number): number[] => [
  0,
  rank - 1,
  ...Array.from({ length: rank - 2 }, (_, i) => i + 1),
];

const ordered = <T>(list: readonly T[], order: readonly number[]): T[] => order.map((axis) => list[axis] as T);

/** One value for each axis of an image, in the order of one with its channels last. */
export const toLast = <T>(perAxis: readonly T[]): T[] => ordered(perAxis, lastOrder(perAxis.length));

/** One value for each axis of an image whose channels are last, in the order of one with its channels first. */
export const toFirst = <T>(perAxis: readonly T[]): T[] => ordered(perAxis, firstOrder(perAxis.length));

/** Whether an image has its elements in the same order with its channels last as with its channels first. */
export const isSameInBoth = (shape: readonly number[]): boolean =>
  shape[1] === 1 || shape.slice(2).every((size) => size === 1);

/** An image in the other order, by that name if one is given; a view where that is the same. */
export function turn(b: Emit, x: string, to: "first" | "last", name?: string): string {
  const { shape } = b.type(x);
  const target = to === "last" ? toLast(shape) : toFirst(shape);
  const options = name ? { outputs: [name] } : {};
  if (isSameInBoth(to === "last" ? shape : target)) return b.op("Reshape", [x, b.vector(target)], {}, options);
  const perm = to === "last" ? lastOrder(shape.length) : firstOrder(shape.length);
  return b.op("Transpose", [x], { perm: ints(perm) }, options);
}

const isOf = (slots: readonly number[], i: number): boolean => slots.includes(i);

/** The op of an op with images for images whose channels are last; its bias is left out. */
export const lastForm = ({ op }: Pick<Node, "op">): Pick<Node, "domain" | "op"> => ({
  domain: "mutwo",
  op: `${op}ChannelsLast`,
});

/** The record of that op: the same facts, of images with their channels last. */
function lastRecord(domain: string, op: string, record: Op, images: NonNullable<Op["images"]>): Op {
  const asFirst = (call: OpCall): OpCall => {
    const inputs = call.inputs.map((type, i) =>
      type && isOf(images.inputs, i) ? { dtype: type.dtype, shape: toFirst(type.shape) } : type,
    );
    return {
      ...call,
      node: { ...call.node, domain, op },
      inputs,
      input: (index) => inputs[index] ?? call.input(index),
    };
  };
  const asLast = (types: readonly TensorType[]): TensorType[] =>
    types.map((type, i) => (isOf(images.outputs, i) ? { dtype: type.dtype, shape: toLast(type.shape) } : type));
  const { infer, gradient, images: _, body, parts, onHost, normalize, defaults, ...traits } = record;
  return native((call) => asLast(record.infer(asFirst(call))), "none", {
    ...traits,
    channelsFirst: { domain, op },
    // what is along the last axis is broadcast as any other operand
    ...(record.fusible === "elements" && { pointwise: true }),
    types: null,
    flops: (call, outputs) =>
      record.flops(
        asFirst(call),
        outputs.map((type, i) => (isOf(images.outputs, i) ? { ...type, shape: toFirst(type.shape) } : type)),
      ),
    body: ({ b, node }) => {
      const inputs = node.inputs.map((name, i) => (name && isOf(images.inputs, i) ? turn(b, name, "first") : name));
      const outputs = node.outputs.map((name) => name && b.fresh(`${b.scope}/${op}`));
      b.add(op, inputs, node.attributes, { domain, outputs });
      return outputs.map((name, i) => (name && isOf(images.outputs, i) ? turn(b, name, "last") : name));
    },
  });
}

/**
 * For each op of these tables that has images, one whose images have their channels last: `mutwo:<Op>ChannelsLast`. Its
 * attributes are the op's own, and mean what they mean there.
 */
export const channelsLast = (...tables: readonly OpTable[]): OpTable =>
  Object.fromEntries(
    tables
      .flatMap((table) => Object.entries(table))
      .flatMap(([key, record]) => {
        const [op = "", domain = ""] = key.split(":").reverse();
        return record.images ? [[`mutwo:${lastForm({ op }).op}`, lastRecord(domain, op, record, record.images)]] : [];
      }),
  );
