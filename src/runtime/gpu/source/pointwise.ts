import { elementCount, type Graph, type Node, type Tensor, type TensorType } from "../../../graph/graph.js";
import { valuesOf } from "../../../graph/values.js";
import { callOf } from "../../../ops/call.js";
import { computeTypes, type Expression, expressions, literal } from "./expressions.js";
import { type KernelSource, memoryTypes, named, parameters } from "./kernel.js";

/** An inner constant's value; undefined if the tensor is none of one element. */
export const scalarOf = (tensor: Tensor): number | undefined =>
  tensor.category === "constant" && tensor.data && elementCount(tensor.shape) === 1
    ? (valuesOf(tensor.dtype, tensor.data)[0] as number)
    : undefined;

/** The C expression of an inner node, given those of its inputs. */
export function expressionOf(node: Node, body: Graph, value: (name: string) => string): string {
  const inputs = node.inputs.map((name) => (name ? value(name) : ""));
  const from = (body.tensors.get(node.inputs[node.op === "Where" ? 1 : 0] as string) as Tensor).dtype;
  if (node.op === "Cast") {
    const to = (body.tensors.get(node.outputs[0] as string) as Tensor).dtype;
    return to === "bool" ? `(${inputs[0]} != 0)` : `(${computeTypes[to]})${inputs[0]}`;
  }
  return (expressions[node.op] as Expression)(inputs, callOf(node, body.tensors), from);
}

/**
 * Index into a broadcast operand as C, from the linear index of the full shape: axes that the operand goes through
 * together are one.
 */
export function broadcastIndex(full: readonly number[], operand: readonly number[], index: string): string {
  const padded = [...new Array<number>(full.length - operand.length).fill(1), ...operand];
  const dims: { size: number; broadcast: boolean }[] = [];
  full.forEach((size, axis) => {
    if (size === 1) return;
    const broadcast = padded[axis] === 1;
    const last = dims.at(-1);
    if (last && last.broadcast === broadcast) last.size *= size;
    else dims.push({ size, broadcast });
  });
  let below = 1;
  let stride = 1;
  const terms: string[] = [];
  for (const { size, broadcast } of dims.reverse()) {
    if (!broadcast) {
      const divided = below === 1 ? index : `${index} / ${below}u`;
      const isTop = below * size === elementCount(full);
      const coordinate = isTop ? divided : `(${divided}) % ${size}u`;
      terms.push(stride === 1 ? `(${coordinate})` : `(${coordinate}) * ${stride}u`);
      stride *= size;
    }
    below *= size;
  }
  return terms.join(" + ") || "0u";
}

export const isFull = (tensor: TensorType, shape: readonly number[]): boolean =>
  elementCount(tensor.shape) === elementCount(shape);

/** A kernel in which each thread makes a few elements of the full shape. */
export function pointwiseKernel(
  body: Graph,
  used: readonly string[],
  shape: readonly number[],
  aligned: boolean,
  multiprocessors: number,
): KernelSource {
  const count = elementCount(shape);
  const fours = aligned ? Math.floor(count / 4) : 0;
  const left = count - 4 * fours;
  const blocks = Math.max(1, Math.min(Math.ceil(Math.max(fours, left) / threads), multiprocessors * 16));
  const text = new PointwiseText(body, used, shape);
  const lines = [...text.singles(), ...text.loop(4, 0, fours), ...text.loop(1, 4 * fours, left)];
  return named(
    (name) =>
      `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(${parameters(body)}) {\n${lines.join("\n")}\n}\n`,
    blocks,
    threads,
  );
}

const threads = 256;

/**
 * The text of a pointwise kernel. Names in it: `x_s` a value that is the same everywhere, `x_v` one element's, `x_4` four
 * elements that are read or written together.
 */
class PointwiseText {
  private readonly index: string;
  /** Inputs with one element for each of the full shape. */
  private readonly full: readonly string[];
  /** Inputs with one element in all. */
  private readonly single: readonly string[];
  private readonly broadcast: readonly string[];

  constructor(
    private readonly body: Graph,
    used: readonly string[],
    private readonly shape: readonly number[],
  ) {
    this.index = elementCount(shape) >= 2 ** 31 ? "unsigned long long" : "unsigned";
    const varying = used.filter((name) => scalarOf(this.type(name)) === undefined);
    this.full = used.filter((name) => isFull(this.type(name), shape));
    const others = varying.filter((name) => !this.full.includes(name));
    this.single = others.filter((name) => elementCount(this.type(name).shape) === 1);
    this.broadcast = others.filter((name) => !this.single.includes(name));
  }

  /** Reads what is the same everywhere. */
  singles(): string[] {
    return this.single.map((name) => `  const ${this.compute(name)} ${name}_s = ${this.read(name, `${name}[0]`)};`);
  }

  /** A loop over `count` places from the element `start` on, each of `width` elements: four or one. */
  loop(width: 4 | 1, start: number, count: number): string[] {
    if (count === 0) return [];
    const { index, body, full } = this;
    const { outputs } = body;
    const four = (name: string): string => `mutwo_four<${memoryTypes[this.type(name).dtype]}>`;
    const lines = [
      `  for (${index} q = blockIdx.x * ${threads}u + threadIdx.x; q < ${count}u; q += gridDim.x * ${threads}u) {`,
    ];
    if (width === 4)
      lines.push(
        ...full.map((name) => `    const ${four(name)} ${name}_4 = ((const ${four(name)}*)${name})[q];`),
        ...outputs.map((name) => `    ${four(name)} ${name}_4;`),
        "    #pragma unroll",
        "    for (int e = 0; e < 4; e++) {",
        `      const ${index} i = 4 * q + e;`,
      );
    else lines.push(`      const ${index} i = ${start ? `${start}u + q` : "q"};`);
    const at = (name: string): string => (width === 4 ? `${name}_4.v[e]` : `${name}[i]`);
    for (const name of full) lines.push(this.constant(name, this.read(name, at(name))));
    for (const name of this.broadcast) {
      const place = broadcastIndex(this.shape, this.type(name).shape, "i");
      lines.push(this.constant(name, this.read(name, `${name}[${place}]`)));
    }
    for (const node of body.nodes)
      lines.push(
        this.constant(
          node.outputs[0] as string,
          expressionOf(node, body, (name) => this.value(name)),
        ),
      );
    for (const name of outputs)
      lines.push(`      ${at(name)} = mutwo_out<${memoryTypes[this.type(name).dtype]}>(${name}_v);`);
    if (width === 4) {
      lines.push("    }");
      for (const name of outputs) lines.push(`    ((${four(name)}*)${name})[q] = ${name}_4;`);
    }
    lines.push("  }");
    return lines;
  }

  private constant(name: string, expression: string): string {
    return `      const ${this.compute(name)} ${name}_v = ${expression};`;
  }

  private read(name: string, place: string): string {
    return `mutwo_in<${this.compute(name)}>(${place})`;
  }

  private value(name: string): string {
    const { dtype } = this.type(name);
    const constant = scalarOf(this.type(name));
    if (constant !== undefined) return literal(dtype, constant);
    return this.single.includes(name) ? `${name}_s` : `${name}_v`;
  }

  private compute(name: string): string {
    return computeTypes[this.type(name).dtype] as string;
  }

  private type(name: string): Tensor {
    return this.body.tensors.get(name) as Tensor;
  }
}
