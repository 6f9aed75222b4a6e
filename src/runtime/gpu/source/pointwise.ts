import { elementCount, type Graph, type Node, type Tensor, type TensorType } from "../../../graph/graph.js";
import { valuesOf } from "../../../graph/values.js";
import { callOf } from "../../../ops/call.js";
import { opOf } from "../../../ops/index.js";
import { computeTypes, type Expression, expressions, literal } from "./expressions.js";
import { type KernelSource, memoryTypes, named, parameters } from "./kernel.js";

/** An inner constant's value; undefined if the tensor is none of one element. */
export const scalarOf = (tensor: Tensor): number | undefined =>
  tensor.category === "constant" && tensor.data && elementCount(tensor.shape) === 1
    ? (valuesOf(tensor.dtype, tensor.data)[0] as number)
    : undefined;

/** The op by which a node is known here: it computes the same wherever channels are. */
export const firstOp = (node: Node): string => opOf(node).channelsFirst?.op ?? node.op;

/** Whether a node of a body makes each element by itself. */
export const isPointwise = (node: Node): boolean => node.op === "Cast" || expressions[firstOp(node)] !== undefined;

/** The C expression of an inner node, given those of its inputs. */
export function expressionOf(node: Node, body: Graph, value: (name: string) => string): string {
  const inputs = node.inputs.map((name) => (name ? value(name) : ""));
  const from = (body.tensors.get(node.inputs[node.op === "Where" ? 1 : 0] as string) as Tensor).dtype;
  if (node.op === "Cast") {
    const to = (body.tensors.get(node.outputs[0] as string) as Tensor).dtype;
    return to === "bool" ? `(${inputs[0]} != 0)` : `(${computeTypes[to]})${inputs[0]}`;
  }
  return (expressions[firstOp(node)] as Expression)(inputs, callOf(node, body.tensors), from);
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

/** Whether an operand has one element for each place along one axis of the full shape. */
const isAlong = (operand: readonly number[], full: readonly number[], along: number): boolean =>
  full.every((n, axis) => (operand[axis - full.length + operand.length] ?? 1) === (axis === along ? n : 1));

/** How many elements of the full shape in a row meet the same element of an operand. */
function repeatsOf(full: readonly number[], operand: readonly number[]): number {
  let repeats = 1;
  for (let axis = full.length - 1; axis >= 0; axis--) {
    const size = full[axis] as number;
    const own = operand[axis - full.length + operand.length] ?? 1;
    if (own !== 1) break;
    repeats *= size;
  }
  return repeats;
}

/** Text of a loop over the elements of a body, a few of them together. */
export interface ElementText {
  /** What a thread reads once. */
  readonly once: readonly string[];
  /** Reads, computes and writes `width` elements from `i0` on. */
  readonly each: readonly string[];
}

/** Where channels are, as text: the channel that a thread has, or the first of four, one for each element. */
interface ChannelText {
  readonly axis: number;
  readonly index: string;
  readonly isOfElement: boolean;
}

/**
 * The text that computes a body element by element: `x_v` is the value of x, `x_s` one that a thread reads once,
 * `x_g` one for all elements that are read together, `x_4` those in memory, `x_r` four in a row of what is broadcast. `channel` says which axis the channels are, and
 * which one a thread stays in, or that the elements that it reads together are always of the same four; `further` is what it does beside with each element, given the values' names.
 */
export function elementText(
  body: Graph,
  used: readonly string[],
  shape: readonly number[],
  {
    width,
    index,
    channel,
    further,
  }: {
    readonly width: 1 | 4;
    readonly index: string;
    readonly channel?: ChannelText | undefined;
    readonly further?: (value: (name: string) => string) => readonly string[];
  },
): ElementText {
  const type = (name: string): Tensor => body.tensors.get(name) as Tensor;
  const compute = (name: string): string => computeTypes[type(name).dtype] as string;
  const four = (name: string): string => `mutwo_four<${memoryTypes[type(name).dtype]}>`;
  const load = (name: string, suffix: string, at: string): string =>
    `const ${compute(name)} ${name}_${suffix} = mutwo_in<${compute(name)}>(${at});`;
  const varying = used.filter((name) => scalarOf(type(name)) === undefined);
  const full = varying.filter((name) => isFull(type(name), shape));
  const once = new Map(
    varying.flatMap((name): [string, "one" | "channel"][] => {
      if (full.includes(name)) return [];
      if (elementCount(type(name).shape) === 1) return [[name, "one"]];
      return channel && isAlong(type(name).shape, shape, channel.axis) ? [[name, "channel"]] : [];
    }),
  );
  const isOfElement = (name: string): boolean => once.get(name) === "channel" && channel?.isOfElement === true;
  const others = varying.filter((name) => !full.includes(name) && !once.has(name));
  const isUniform = (name: string): boolean => width > 1 && repeatsOf(shape, type(name).shape) % width === 0;
  /** Four elements in a row meet four in a row. */
  const isRun = (name: string): boolean =>
    width === 4 && (shape.at(-1) as number) % 4 === 0 && type(name).shape.at(-1) === shape.at(-1);
  const runs = others.filter(isRun);
  const value = (name: string): string => {
    const constant = scalarOf(type(name));
    if (constant !== undefined) return literal(type(name).dtype, constant);
    if (runs.includes(name)) return `mutwo_in<${compute(name)}>(${name}_r.v[e])`;
    if (isOfElement(name)) return `mutwo_in<${compute(name)}>(${name}_s.v[e])`;
    return `${name}_${once.has(name) ? "s" : others.includes(name) && isUniform(name) ? "g" : "v"}`;
  };
  const place = (name: string, at: string): string => `${name}[${broadcastIndex(shape, type(name).shape, at)}]`;
  const inner = [
    ...full.map((name) => load(name, "v", width === 4 ? `${name}_4.v[e]` : `${name}[i]`)),
    ...others
      .filter((name) => !isUniform(name) && !runs.includes(name))
      .map((name) => load(name, "v", place(name, "i"))),
    ...body.nodes.flatMap((node) => {
      const [name = ""] = node.outputs;
      return isPointwise(node) ? [`const ${compute(name)} ${name}_v = ${expressionOf(node, body, value)};`] : [];
    }),
  ];
  // sums are made elsewhere, also those that are as many as the elements
  const computed = new Set(body.nodes.filter(isPointwise).flatMap((node) => node.outputs));
  const outputs = body.outputs.filter((name) => computed.has(name) && isFull(type(name), shape));
  const result = (name: string): string => `mutwo_out<${memoryTypes[type(name).dtype]}>(${name}_v);`;
  inner.push(
    ...outputs.map((name) => `${width === 4 ? `${name}_4.v[e]` : `${name}[i]`} = ${result(name)}`),
    ...(further?.(value) ?? []),
  );
  const lines = [...once].map(([name, kind]) =>
    isOfElement(name)
      ? `  const ${four(name)} ${name}_s = *(const ${four(name)}*)(${name} + ${channel?.index});`
      : `  ${load(name, "s", `${name}[${kind === "one" ? "0" : channel?.index}]`)}`,
  );
  if (width === 1) return { once: lines, each: [`const ${index} i = i0;`, ...inner].map((line) => `      ${line}`) };
  return {
    once: lines,
    each: [
      ...full.map((name) => `    const ${four(name)} ${name}_4 = *(const ${four(name)}*)(${name} + i0);`),
      ...others.filter(isUniform).map((name) => `    ${load(name, "g", place(name, "i0"))}`),
      ...runs.map((name) => {
        const at = broadcastIndex(shape, type(name).shape, "i0");
        return `    const ${four(name)} ${name}_r = *(const ${four(name)}*)(${name} + ${at});`;
      }),
      ...outputs.map((name) => `    ${four(name)} ${name}_4;`),
      "    #pragma unroll",
      "    for (int e = 0; e < 4; e++) {",
      `      const ${index} i = i0 + e;`,
      ...inner.map((line) => `      ${line}`),
      "    }",
      ...outputs.map((name) => `    *(${four(name)}*)(${name} + i0) = ${name}_4;`),
    ],
  };
}

/**
 * A kernel in which each thread makes a few elements of the full shape, all of them next to each other: blocks that went on
 * to further ones would lose the lines of the cache that they share with others.
 */
export function pointwiseKernel(
  body: Graph,
  used: readonly string[],
  shape: readonly number[],
  aligned: boolean,
): KernelSource {
  const count = elementCount(shape);
  const fours = aligned ? Math.floor(count / 4) : 0;
  const left = count - 4 * fours;
  const threads = 256;
  const blocks = Math.max(1, Math.ceil(Math.max(fours, left) / threads));
  const index = count >= 2 ** 31 ? "unsigned long long" : "unsigned";
  // sums over the same elements come right before: what they read last is still in the cache
  const isBackward = body.nodes.some((node) => opOf(node).channelInputs);
  /** The place of a thread among `places` of `width` elements each, from the element `start` on. */
  const part = (width: 1 | 4, start: number, places: number): string[] => {
    if (places === 0) return [];
    const place = isBackward ? `(${places - 1}u - q)` : "q";
    const at = width === 1 ? place : `${width}u * ${place}`;
    return [
      `  if (q < ${places}u) {`,
      `    const ${index} i0 = ${start ? `${start}u + ${at}` : at};`,
      ...elementText(body, used, shape, { width, index }).each,
      "  }",
    ];
  };
  const { once } = elementText(body, used, shape, { width: 1, index });
  const lines = [
    `  const ${index} q = (${index})blockIdx.x * ${threads}u + threadIdx.x;`,
    ...once,
    ...part(4, 0, fours),
    ...part(1, 4 * fours, left),
  ];
  return named(
    (name) =>
      `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(${parameters(body)}) {\n${lines.join("\n")}\n}\n`,
    blocks,
    threads,
  );
}
