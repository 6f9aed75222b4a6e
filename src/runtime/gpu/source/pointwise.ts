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
  const type = (name: string): Tensor => body.tensors.get(name) as Tensor;
  const width = aligned && count % 4 === 0 ? 4 : 1;
  const threads = 256;
  const blocks = Math.max(1, Math.min(Math.ceil(count / width / threads), multiprocessors * 16));
  const index = count >= 2 ** 31 ? "unsigned long long" : "unsigned";
  const lines: string[] = [];
  const full = used.filter((name) => isFull(type(name), shape));
  const others = used.filter((name) => !full.includes(name) && scalarOf(type(name)) === undefined);
  const single = others.filter((name) => elementCount(type(name).shape) === 1);
  for (const name of single)
    lines.push(
      `  const ${computeTypes[type(name).dtype]} ${name}_s = mutwo_in<${computeTypes[type(name).dtype]}>(${name}[0]);`,
    );
  lines.push(
    `  for (${index} q = blockIdx.x * ${threads}u + threadIdx.x; q < ${count / width}u; q += gridDim.x * ${threads}u) {`,
  );
  const outputs = body.outputs;
  if (width === 4) {
    for (const name of full)
      lines.push(
        `    const mutwo_four<${memoryTypes[type(name).dtype]}> ${name}_4 = ((const mutwo_four<${memoryTypes[type(name).dtype]}>*)${name})[q];`,
      );
    for (const name of outputs) lines.push(`    mutwo_four<${memoryTypes[type(name).dtype]}> ${name}_4;`);
    lines.push("    #pragma unroll", "    for (int e = 0; e < 4; e++) {", `      const ${index} i = 4 * q + e;`);
  } else lines.push(`      const ${index} i = q;`);
  const value = (name: string): string => {
    const constant = scalarOf(type(name));
    if (constant !== undefined) return literal(type(name).dtype, constant);
    if (single.includes(name)) return `${name}_s`;
    return `${name}_v`;
  };
  for (const name of full)
    lines.push(
      `      const ${computeTypes[type(name).dtype]} ${name}_v = mutwo_in<${computeTypes[type(name).dtype]}>(${width === 4 ? `${name}_4.v[e]` : `${name}[i]`});`,
    );
  for (const name of others)
    if (!single.includes(name))
      lines.push(
        `      const ${computeTypes[type(name).dtype]} ${name}_v = mutwo_in<${computeTypes[type(name).dtype]}>(${name}[${broadcastIndex(shape, type(name).shape, "i")}]);`,
      );
  for (const node of body.nodes) {
    const name = node.outputs[0] as string;
    lines.push(`      const ${computeTypes[type(name).dtype]} ${name}_v = ${expressionOf(node, body, value)};`);
  }
  for (const name of outputs)
    lines.push(
      `      ${width === 4 ? `${name}_4.v[e]` : `${name}[i]`} = mutwo_out<${memoryTypes[type(name).dtype]}>(${name}_v);`,
    );
  if (width === 4) {
    lines.push("    }");
    for (const name of outputs)
      lines.push(`    ((mutwo_four<${memoryTypes[type(name).dtype]}>*)${name})[q] = ${name}_4;`);
  }
  lines.push("  }");
  return named(
    (name) =>
      `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(${parameters(body)}) {\n${lines.join("\n")}\n}\n`,
    blocks,
    threads,
  );
}
