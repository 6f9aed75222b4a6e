import { elementCount, int, ints, type TensorType, text } from "../graph/graph.js";
import type { Emit } from "./emit.js";
import { native, ofOutput0 } from "./kinds.js";
import { math } from "./math.js";
import type { ModelsRule, OpCall, OpTable } from "./op.js";
import { outputsAt } from "./over-models.js";
import { expandTo, reshape, sumOver } from "./shapes.js";

/** A tensor with one label for each axis: equal labels are equal axes. */
interface Labelled {
  readonly name: string;
  readonly labels: readonly string[];
}

interface Equation {
  readonly inputs: readonly (readonly string[])[];
  readonly output: readonly string[];
  readonly sizes: ReadonlyMap<string, number>;
}

/** Labels of a term; the axes that `...` stands for are labelled by their distance from the last of them. */
function labelsOf(term: string, rank: number): string[] {
  const [before = "", after] = term.split("...");
  const hidden = after === undefined ? 0 : rank - before.length - after.length;
  const dots = Array.from({ length: Math.max(0, hidden) }, (_, i) => `.${hidden - i}`);
  return [...before, ...dots, ...(after ?? "")];
}

/** Characters of an equation that a message shows. */
const longest = 60;

/** A node's equation for the shapes of its inputs. Throws `shape mismatch: …`, `unsupported: …`. */
function equationOf(call: OpCall): Equation {
  const equation = call.text("equation", "").replaceAll(" ", "");
  const where = `(op Einsum, node ${call.node.name})`;
  const shown = equation.length > longest ? `${equation.slice(0, longest)}…` : equation;
  if (!/^[a-z,.]*(->[a-z.]*)?$/i.test(equation) || /(^|[^.])\.{1,2}([^.]|$)|\.{4}|\.{3}[^,>]*\.{3}/.test(equation))
    throw new Error(`not an equation: ${shown} ${where}`);
  const [left = "", right] = equation.split("->");
  const terms = left.split(",");
  if (terms.length !== call.inputs.length)
    throw new Error(`shape mismatch: ${call.inputs.length} operands for ${shown} ${where}`);
  const sizes = new Map<string, number>();
  const inputs = terms.map((term, i) => {
    const { shape } = call.input(i);
    const labels = labelsOf(term, shape.length);
    if (labels.length !== shape.length) throw new Error(`shape mismatch: [${shape}] for ${term} of ${shown} ${where}`);
    for (const [axis, label] of labels.entries())
      if (shape[labels.indexOf(label)] !== shape[axis])
        throw new Error(`shape mismatch: diagonal ${term} of [${shape}] in ${shown} ${where}`);
    labels.forEach((label, axis) => {
      const [known, size] = [sizes.get(label) ?? 1, shape[axis] as number];
      if (known !== 1 && size !== 1 && known !== size)
        throw new Error(`shape mismatch: ${label} is ${known} and ${size} in ${shown} ${where}`);
      sizes.set(label, known === 1 ? size : known);
    });
    return labels;
  });
  const dots = [...sizes.keys()]
    .filter((label) => label.startsWith("."))
    .sort((p, q) => q.length - p.length || (p < q ? 1 : -1));
  const all = inputs.flat();
  const once = [...sizes.keys()].filter(
    (label) => !label.startsWith(".") && all.indexOf(label) === all.lastIndexOf(label),
  );
  const output =
    right === undefined ? [...dots, ...once.sort()] : labelsOf(right, right.replace("...", "").length + dots.length);
  if (new Set(output).size < output.length || output.some((label) => !sizes.has(label)))
    throw new Error(`the output's labels are not each of one input axis: ${right} of ${shown} ${where}`);
  return { inputs, output, sizes };
}

/** The operand's axes in another order. */
function ordered(b: Emit, x: Labelled, labels: readonly string[]): Labelled {
  const perm = labels.map((label) => x.labels.indexOf(label));
  return {
    name: perm.every((from, axis) => from === axis) ? x.name : b.op("Transpose", [x.name], { perm: ints(perm) }),
    labels,
  };
}

/** For each label that stands at several axes their common size and the places of the label; none if each stands once. */
function repeatedOf(labels: readonly string[]): readonly (readonly number[])[] {
  return [...new Set(labels)].flatMap((label) => {
    const axes = labels.flatMap((other, axis) => (other === label ? [axis] : []));
    return axes.length > 1 ? [axes] : [];
  });
}

/** The elements whose places along axes of one label are equal: each label once, where it stands first. */
function diagonal(b: Emit, x: Labelled): Labelled {
  const [axes] = repeatedOf(x.labels);
  if (!axes) return x;
  const rest = x.labels.flatMap((_, axis) => (axes.includes(axis) ? [] : [axis]));
  const { shape } = b.type(x.name);
  const size = shape[axes[0] as number] as number;
  const turned = b.op("Transpose", [x.name], { perm: ints([...axes, ...rest]) });
  const flat = reshape(b, turned, [size ** axes.length, ...rest.map((axis) => shape[axis] as number)]);
  const step = axes.reduce((sum, _, i) => sum + size ** i, 0);
  const places = b.vector(Array.from({ length: size }, (_, i) => i * step));
  const labels = [x.labels[axes[0] as number] as string, ...rest.map((axis) => x.labels[axis] as string)];
  return diagonal(b, { name: b.op("Gather", [flat, places], { axis: int(0) }), labels });
}

/** The inverse of `diagonal`: a tensor with each label once, spread over all axes of `labels`, zero off the diagonals. */
function offDiagonalZero(b: Emit, x: string, once: readonly string[], labels: readonly string[]): string {
  if (once.length === labels.length) return x;
  const { shape } = b.type(x);
  const sizes = labels.map((label) => shape[once.indexOf(label)] as number);
  // at its first axis each label has its size; along the others the mask repeats
  const sparse = reshape(
    b,
    x,
    sizes.map((size, axis) => (labels.indexOf(labels[axis] as string) === axis ? size : 1)),
  );
  const m = math(b);
  return repeatedOf(labels).reduce((made, [first = 0, ...others]) => {
    return others.reduce((part, axis) => {
      const size = sizes[first] as number;
      const shapeOf = labels.map((_, k) => (k === first || k === axis ? size : 1));
      const same = Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
      return m.where(b.constant("bool", shapeOf, same), part, 0);
    }, made);
  }, sparse);
}

/** Sums over the axes whose label is not among those kept. */
function summed(b: Emit, x: Labelled, kept: ReadonlySet<string>): Labelled {
  const axes = x.labels.flatMap((label, axis) => (kept.has(label) ? [] : [axis]));
  return { name: sumOver(b, x.name, axes, false), labels: x.labels.filter((label) => kept.has(label)) };
}

/** Without the axes of size 1 that stand for longer ones: they broadcast. */
function narrowed(b: Emit, x: Labelled, sizes: ReadonlyMap<string, number>): Labelled {
  const { shape } = b.type(x.name);
  const keep = x.labels.map((label, axis) => shape[axis] === sizes.get(label));
  return {
    name: reshape(
      b,
      x.name,
      shape.filter((_, axis) => keep[axis]),
    ),
    labels: x.labels.filter((_, axis) => keep[axis]),
  };
}

/** The product of two operands as one batched MatMul; labels that are not kept are summed over. */
function product(
  b: Emit,
  p: Labelled,
  q: Labelled,
  kept: ReadonlySet<string>,
  sizes: ReadonlyMap<string, number>,
): Labelled {
  const [inP, inQ] = [new Set(p.labels), new Set(q.labels)];
  const left = summed(b, p, new Set([...kept, ...inQ]));
  const right = summed(b, q, new Set([...kept, ...inP]));
  const batch = left.labels.filter((label) => inQ.has(label) && kept.has(label));
  const inner = left.labels.filter((label) => inQ.has(label) && !kept.has(label));
  const rows = left.labels.filter((label) => !inQ.has(label));
  const columns = right.labels.filter((label) => !inP.has(label));
  const count = (labels: readonly string[]): number => elementCount(labels.map((label) => sizes.get(label) as number));
  const shape = (labels: readonly string[]): number[] => labels.map((label) => sizes.get(label) as number);
  const a = reshape(b, ordered(b, left, [...batch, ...rows, ...inner]).name, [
    ...shape(batch),
    count(rows),
    count(inner),
  ]);
  const c = reshape(b, ordered(b, right, [...batch, ...inner, ...columns]).name, [
    ...shape(batch),
    count(inner),
    count(columns),
  ]);
  const labels = [...batch, ...rows, ...columns];
  return { name: reshape(b, b.op("MatMul", [a, c]), shape(labels)), labels };
}

/** Einsum in other ops: pair after pair, left to right; labels that no operand has are repeated. */
function contract(
  b: Emit,
  operands: readonly Labelled[],
  output: readonly string[],
  sizes: ReadonlyMap<string, number>,
): string {
  const narrow = operands.map((operand) => narrowed(b, diagonal(b, operand), sizes));
  const wanted = new Set(output);
  const [first, ...rest] = narrow as [Labelled, ...Labelled[]];
  const all = rest.reduce((sum, operand, i) => {
    const later = rest.slice(i + 1).flatMap((other) => other.labels);
    return product(b, sum, operand, new Set([...wanted, ...later]), sizes);
  }, first);
  const made = summed(b, all, wanted);
  const found = ordered(
    b,
    made,
    output.filter((label) => made.labels.includes(label)),
  );
  const size = (label: string): number => sizes.get(label) as number;
  const sparse = reshape(
    b,
    found.name,
    output.map((label) => (found.labels.includes(label) ? size(label) : 1)),
  );
  return expandTo(b, sparse, output.map(size));
}

/** The same sum with one more label, of the models, before those of each operand that has them. */
const summedOverModels: ModelsRule = (call) => {
  const equation = call.text("equation", "").replaceAll(" ", "");
  const { output } = equationOf(call);
  const model = [..."abcdefghijklmnopqrstuvwxyz"].find((letter) => !equation.includes(letter));
  const [left = "", right] = equation.split("->");
  if (model === undefined || (right === undefined && equation.includes("..."))) return undefined;
  const isOwn = call.inputs.map((_, i) => call.at(i) !== undefined);
  const terms = left.split(",").map((term, i) => (isOwn[i] ? model + term : term));
  const inputs = call.inputs.map((_, i) => (isOwn[i] ? call.joint(i, 0) : call.x(i)));
  const whole = `${terms.join()}->${model}${right ?? output.join("")}`;
  return outputsAt(call.again(inputs, { equation: text(whole) }), 0);
};

/** Sums of products by an equation of labels. */
export const einsum: OpTable = {
  /**
   * The gradient of an operand is the same sum with dY in its place. Always its body: a kernel called by itself sees
   * one operand only (1.29).
   */
  Einsum: native(
    (call): TensorType[] => {
      const { output, sizes } = equationOf(call);
      return [{ dtype: call.input(0).dtype, shape: output.map((label) => sizes.get(label) as number) }];
    },
    ofOutput0((call, dY) => {
      const { b } = call;
      const { inputs, output, sizes } = equationOf(call);
      return inputs.map((labels, i) => {
        if (!call.wants(i)) return undefined;
        const { shape } = call.input(i);
        const others = inputs.flatMap((other, k) => (k === i ? [] : [{ name: call.x(k), labels: other }]));
        const once = labels.filter((label, axis) => labels.indexOf(label) === axis);
        const sizeOf = (label: string): number => shape[labels.indexOf(label)] as number;
        // axes of size 1 were repeated: their gradients are sums, so the label is not kept
        const long = once.filter((label) => sizeOf(label) === sizes.get(label));
        const sum = contract(b, [{ name: dY, labels: output }, ...others], long, sizes);
        return offDiagonalZero(b, reshape(b, sum, once.map(sizeOf)), once, labels);
      });
    }),
    {
      product: "equation",
      overModels: summedOverModels,
      types: null,
      flops: (call) => {
        const { sizes } = equationOf(call);
        return 2 * elementCount([...sizes.values()]) * Math.max(1, call.inputs.length - 1);
      },
      body: (call) => {
        const { inputs, output, sizes } = equationOf(call);
        const operands = inputs.map((labels, i) => ({ name: call.x(i), labels }));
        return [contract(call.b, operands, output, sizes)];
      },
    },
  ),
};
