import { createHash } from "node:crypto";
import { type DType, elementCount, type Graph, type Node, type Tensor, type TensorType } from "../graph.js";
import { callOf } from "../ops/call.js";
import { valuesOf } from "../values.js";

/** A generated kernel and how it is launched. */
export interface KernelSource {
  /** Name of the `__global__` function; equal sources have equal names. */
  readonly name: string;
  /** CUDA C of the function, to stand behind `prelude`. */
  readonly source: string;
  readonly blocks: number;
  readonly threads: number;
}

/** C type in memory, and the one that is computed in: 16-bit floats compute in float32 and are rounded when written. */
export const memoryTypes: Partial<Record<DType, string>> = {
  float32: "float",
  float64: "double",
  float16: "__half",
  bfloat16: "__nv_bfloat16",
  bool: "unsigned char",
  int8: "signed char",
  uint8: "unsigned char",
  int32: "int",
  int64: "long long",
};
export const computeTypes: Partial<Record<DType, string>> = {
  ...memoryTypes,
  float16: "float",
  bfloat16: "float",
  bool: "bool",
};

const isFloat = (dtype: DType): boolean => /float/.test(dtype);
const isDouble = (dtype: DType): boolean => dtype === "float64";

/** A number as a literal of the type that a value is computed in. */
function literal(dtype: DType, value: number): string {
  if (dtype === "bool") return value ? "true" : "false";
  if (!isFloat(dtype)) return dtype === "int64" ? `${BigInt(Math.trunc(value))}LL` : String(Math.trunc(value));
  const suffix = isDouble(dtype) ? "" : "f";
  if (Number.isNaN(value)) return isDouble(dtype) ? 'nan("")' : 'nanf("")';
  if (!Number.isFinite(value)) return `${value < 0 ? "-" : ""}${isDouble(dtype) ? "(1.0/0.0)" : "(1.0f/0.0f)"}`;
  const rounded = isDouble(dtype) ? value : Math.fround(value);
  const text = rounded.toExponential();
  return `${text}${suffix}`;
}

type Expression = (args: readonly string[], call: ReturnType<typeof callOf>, dtype: DType) => string;

const infix =
  (operator: string): Expression =>
  ([a, b]) =>
    `(${a} ${operator} ${b})`;
/** A function of C's math library in the type's precision. */
const mathCall =
  (name: string): Expression =>
  (args, _, dtype) =>
    `${name}${isDouble(dtype) ? "" : "f"}(${args.join(", ")})`;
const one = (dtype: DType): string => literal(dtype, 1);
const zero = (dtype: DType): string => literal(dtype, 0);

/** What each op computes of its elements, as C; `dtype` is the first input's. */
const expressions: Readonly<Record<string, Expression>> = {
  Add: infix("+"),
  Sub: infix("-"),
  Mul: infix("*"),
  Div: infix("/"),
  Neg: ([a]) => `(-${a})`,
  Abs: ([a], _, dtype) => (isFloat(dtype) ? `fabs${isDouble(dtype) ? "" : "f"}(${a})` : `(${a} < 0 ? -${a} : ${a})`),
  Sqrt: mathCall("sqrt"),
  Exp: mathCall("exp"),
  Log: mathCall("log"),
  Erf: mathCall("erf"),
  Tanh: mathCall("tanh"),
  Sin: mathCall("sin"),
  Cos: mathCall("cos"),
  Floor: mathCall("floor"),
  Ceil: mathCall("ceil"),
  Sigmoid: ([a], _, dtype) => `(${one(dtype)} / (${one(dtype)} + exp${isDouble(dtype) ? "" : "f"}(-${a})))`,
  Softplus: ([a], _, dtype) => {
    const f = isDouble(dtype) ? "" : "f";
    return `(${a} > ${zero(dtype)} ? ${a} + log1p${f}(exp${f}(-${a})) : log1p${f}(exp${f}(${a})))`;
  },
  // NaN stays NaN
  Relu: ([a], _, dtype) => `(${a} < ${zero(dtype)} ? ${zero(dtype)} : ${a})`,
  LeakyRelu: ([a], call, dtype) =>
    `(${a} < ${zero(dtype)} ? ${literal(dtype, call.float("alpha", 0.01))} * ${a} : ${a})`,
  Elu: ([a], call, dtype) =>
    `(${a} < ${zero(dtype)} ? ${literal(dtype, call.float("alpha", 1))} * (exp${isDouble(dtype) ? "" : "f"}(${a}) - ${one(dtype)}) : ${a})`,
  Reciprocal: ([a], _, dtype) => `(${one(dtype)} / ${a})`,
  Sign: ([a], _, dtype) => {
    const C = computeTypes[dtype];
    return `(${C})((${a} > (${C})0) - (${a} < (${C})0))`;
  },
  Pow: (args, call, dtype) => {
    const exponent = call.constant(1);
    const [a] = args;
    if (exponent?.length === 1 && exponent[0] === 2) return `(${a} * ${a})`;
    if (exponent?.length === 1 && exponent[0] === 3) return `(${a} * ${a} * ${a})`;
    return mathCall("pow")(args, call, dtype);
  },
  Equal: infix("=="),
  Greater: infix(">"),
  Less: infix("<"),
  GreaterOrEqual: infix(">="),
  LessOrEqual: infix("<="),
  And: infix("&&"),
  Or: infix("||"),
  Xor: infix("!="),
  Not: ([a]) => `(!${a})`,
  Where: ([condition, a, b]) => `(${condition} ? ${a} : ${b})`,
  Min: (args) => args.reduce((a, b) => `(${a} < ${b} || ${a} != ${a} ? ${a} : ${b})`),
  Max: (args) => args.reduce((a, b) => `(${a} > ${b} || ${a} != ${a} ? ${a} : ${b})`),
  Clip: ([a, low, high]) => {
    const raised = low ? `(${a} < ${low} ? ${low} : ${a})` : a;
    return high ? `mutwo_min(${raised}, ${high})` : (raised as string);
  },
};

interface Reduction {
  readonly start: (dtype: DType) => string;
  readonly join: (a: string, b: string) => string;
  readonly finish: (sum: string, dtype: DType, count: number) => string;
}
const reductions: Readonly<Record<string, Reduction>> = {
  ReduceSum: { start: zero, join: (a, b) => `${a} + ${b}`, finish: (sum) => sum },
  ReduceMean: {
    start: zero,
    join: (a, b) => `${a} + ${b}`,
    finish: (sum, dtype, count) => `${sum} / ${literal(dtype, count)}`,
  },
  ReduceMax: {
    start: (dtype) => literal(dtype, Number.NEGATIVE_INFINITY),
    join: (a, b) => `mutwo_max(${a}, ${b})`,
    finish: (most) => most,
  },
  ReduceMin: {
    start: (dtype) => literal(dtype, Number.POSITIVE_INFINITY),
    join: (a, b) => `mutwo_min(${a}, ${b})`,
    finish: (least) => least,
  },
};

/** What all generated kernels share. */
export const prelude = `
#ifndef MUTWO_NO_16_BIT
#include <cuda_fp16.h>
#include <cuda_bf16.h>
#endif
template <typename T> __device__ __forceinline__ T mutwo_max(T a, T b) { return a > b || a != a ? a : b; }
template <typename T> __device__ __forceinline__ T mutwo_min(T a, T b) { return a < b || a != a ? a : b; }
template <typename T> struct alignas(4 * sizeof(T)) mutwo_four { T v[4]; };
template <typename C, typename M> __device__ __forceinline__ C mutwo_in(M m) { return (C)m; }
template <typename M, typename C> __device__ __forceinline__ M mutwo_out(C c) { return (M)c; }
#ifndef MUTWO_NO_16_BIT
template <> __device__ __forceinline__ float mutwo_in<float, __half>(__half m) { return __half2float(m); }
template <> __device__ __forceinline__ float mutwo_in<float, __nv_bfloat16>(__nv_bfloat16 m) { return __bfloat162float(m); }
template <> __device__ __forceinline__ __half mutwo_out<__half, float>(float c) { return __float2half_rn(c); }
template <> __device__ __forceinline__ __nv_bfloat16 mutwo_out<__nv_bfloat16, float>(float c) { return __float2bfloat16_rn(c); }
#endif
`;

/** Whether every op and type inside a fused node can be generated. */
export function canGenerate(body: Graph): boolean {
  return (
    [...body.tensors.values()].every(({ dtype }) => memoryTypes[dtype]) &&
    body.nodes.every(
      ({ op, inputs }) =>
        expressions[op] ||
        op === "Cast" ||
        (reductions[op] && isFloat((body.tensors.get(inputs[0] ?? "") as Tensor).dtype)),
    )
  );
}

/** How a value of the body depends on where in the full shape one is. */
type Reach = "full" | "row" | "constant";

/**
 * CUDA C for a fused node. \`aligned\` tells whether all full operands start on 16-byte boundaries. Operands are the
 * node's inputs, then its outputs. Inputs are read before outputs are written, element by element, so an output may lie
 * where a full input lies. Without fused multiply-add (--fmad=false) an op gives the same bits in whatever kernel it is.
 */
export function fusedSource(body: Graph, aligned: boolean): KernelSource {
  const reducing = body.nodes.filter(({ op }) => reductions[op]);
  const type = (name: string): Tensor => body.tensors.get(name) as Tensor;
  const used = body.inputs.filter((name) => body.nodes.some(({ inputs }) => inputs.includes(name)));
  const shape = reducing.length
    ? type(reducing[0]?.inputs[0] as string).shape
    : body.outputs.map((name) => type(name).shape).reduce((a, z) => (elementCount(z) > elementCount(a) ? z : a));
  const trailing = reducing.length ? reducedAxesOf(reducing[0] as Node, body) : 0;
  return trailing || reducing.length
    ? rowKernel(body, used, shape, trailing, aligned)
    : pointwiseKernel(body, used, shape, aligned);
}

function reducedAxesOf(node: Node, body: Graph): number {
  const call = callOf(node, body.tensors);
  const { shape } = call.input(0);
  const axes = call.inputs[1] ? call.constant(1) : call.ints("axes");
  return axes?.length ? axes.length : shape.length;
}

/** Names a kernel after what it does, so that equal ones are compiled once. */
export function named(text: (name: string) => string, blocks: number, threads: number): KernelSource {
  const hash = createHash("sha256").update(text("k")).update(String(threads)).digest("hex").slice(0, 20);
  const name = `mutwo_${hash}`;
  return { name, source: text(name), blocks, threads };
}

const parameters = (body: Graph): string =>
  [
    ...body.inputs.map((name) => `const ${memoryTypes[(body.tensors.get(name) as Tensor).dtype]}* ${name}`),
    ...body.outputs.map((name) => `${memoryTypes[(body.tensors.get(name) as Tensor).dtype]}* ${name}`),
  ].join(", ");

/** An inner constant's value; undefined if the tensor is none of one element. */
const scalarOf = (tensor: Tensor): number | undefined =>
  tensor.category === "constant" && tensor.data && elementCount(tensor.shape) === 1
    ? (valuesOf(tensor.dtype, tensor.data)[0] as number)
    : undefined;

/** The C expression of an inner node, given those of its inputs. */
function expressionOf(node: Node, body: Graph, value: (name: string) => string): string {
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

const isFull = (tensor: TensorType, shape: readonly number[]): boolean =>
  elementCount(tensor.shape) === elementCount(shape);

function pointwiseKernel(
  body: Graph,
  used: readonly string[],
  shape: readonly number[],
  aligned: boolean,
): KernelSource {
  const count = elementCount(shape);
  const type = (name: string): Tensor => body.tensors.get(name) as Tensor;
  const width = aligned && count % 4 === 0 ? 4 : 1;
  const threads = 256;
  const blocks = Math.max(1, Math.min(Math.ceil(count / width / threads), 132 * 16));
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

/** Elements of a row that one thread keeps at most. */
const mostPerThread = 32;

function rowKernel(
  body: Graph,
  used: readonly string[],
  shape: readonly number[],
  trailing: number,
  aligned: boolean,
): KernelSource {
  const rows = elementCount(shape.slice(0, shape.length - trailing));
  const columns = elementCount(shape.slice(shape.length - trailing));
  const rowShape = shape.map((n, axis) => (axis < shape.length - trailing ? n : 1));
  const type = (name: string): Tensor => body.tensors.get(name) as Tensor;
  const compute = (name: string): string => computeTypes[type(name).dtype] as string;
  const memory = (name: string): string => memoryTypes[type(name).dtype] as string;
  const width = aligned && columns % 4 === 0 ? 4 : 1;
  // one warp a row while its threads can keep the row, then as many as it takes
  const lanes =
    columns <= (32 * mostPerThread) / 2 ? 32 : Math.min(1024, 32 * Math.ceil(columns / (mostPerThread / 2) / 32));
  const perThread = width * Math.ceil(columns / width / lanes);
  const warpsPerBlock = lanes === 32 ? 4 : 1;
  const threads = lanes === 32 ? 32 * warpsPerBlock : lanes;
  const blocks = Math.max(1, Math.min(Math.ceil(rows / warpsPerBlock), lanes === 32 ? 132 * 64 : 132 * 16));

  const reach = new Map<string, Reach>();
  for (const name of used) {
    const tensor = type(name);
    if (elementCount(tensor.shape) === 1) reach.set(name, "constant");
    else {
      const padded = [...new Array<number>(shape.length - tensor.shape.length).fill(1), ...tensor.shape];
      reach.set(name, padded.slice(shape.length - trailing).every((n) => n === 1) ? "row" : "full");
    }
  }
  for (const node of body.nodes) {
    const from = node.inputs
      .filter((name) => name && scalarOf(type(name)) === undefined)
      .map((name) => reach.get(name) ?? "constant");
    const own: Reach = reductions[node.op]
      ? "row"
      : from.includes("full")
        ? "full"
        : from.includes("row") || elementCount(type(node.outputs[0] as string).shape) > 1
          ? "row"
          : "constant";
    reach.set(node.outputs[0] as string, own);
  }
  /** How many reductions have to be finished before a value is known. */
  const level = new Map<string, number>();
  for (const node of body.nodes) {
    const before = Math.max(0, ...node.inputs.map((name) => level.get(name) ?? 0));
    level.set(node.outputs[0] as string, before + (reductions[node.op] ? 1 : 0));
  }
  const lastLevel = Math.max(...level.values());
  const maker = new Map(body.nodes.map((node) => [node.outputs[0] as string, node]));
  /** The full values needed for some results, in order. */
  const needed = (names: readonly string[]): Node[] => {
    const found = new Set<Node>();
    const visit = (name: string): void => {
      const node = maker.get(name);
      if (!node || found.has(node) || reach.get(name) !== "full") return;
      for (const input of node.inputs) if (input) visit(input);
      found.add(node);
    };
    for (const name of names) visit(name);
    return body.nodes.filter((node) => found.has(node));
  };
  const value = (name: string): string => {
    const constant = scalarOf(type(name));
    if (constant !== undefined) return literal(type(name).dtype, constant);
    return reach.get(name) === "full" ? `${name}_v` : `${name}_r`;
  };
  const full = used.filter((name) => reach.get(name) === "full");
  const contiguous = full.filter((name) => isFull(type(name), shape));
  const lines: string[] = [];
  const column = (e: string): string =>
    width === 4 ? `((${e} / 4) * ${4 * lanes} + lane * 4 + ${e} % 4)` : `(${e} * ${lanes} + lane)`;
  const exact = perThread * lanes === columns;
  const guard = (e: string): string => (exact ? "" : `if (${column(e)} < ${columns})`);

  if (lanes > 32) lines.push(`  __shared__ double mutwo_shared[33];`);
  lines.push(
    lanes === 32 ? `  const int lane = threadIdx.x % 32;` : `  const int lane = threadIdx.x;`,
    lanes === 32
      ? `  for (unsigned row = blockIdx.x * ${warpsPerBlock}u + threadIdx.x / 32; row < ${rows}u; row += gridDim.x * ${warpsPerBlock}u) {`
      : `  for (unsigned row = blockIdx.x; row < ${rows}u; row += gridDim.x) {`,
  );
  for (const name of used) {
    const tensor = type(name);
    if (reach.get(name) === "full" || scalarOf(tensor) !== undefined) continue;
    const at = reach.get(name) === "row" ? broadcastIndex(rowShape, tensor.shape, "row") : "0";
    lines.push(`    const ${compute(name)} ${name}_r = mutwo_in<${compute(name)}>(${name}[${at}]);`);
  }
  // each full input is read once and kept in registers
  for (const name of full) lines.push(`    ${compute(name)} ${name}_k[${perThread}];`);
  for (const name of contiguous) {
    if (width === 4)
      lines.push(
        "    #pragma unroll",
        `    for (int e = 0; e < ${perThread}; e += 4) ${guard("e")} {`,
        `      const mutwo_four<${memory(name)}> four = *(const mutwo_four<${memory(name)}>*)(${name} + (size_t)row * ${columns} + ${column("e")});`,
        `      for (int j = 0; j < 4; j++) ${name}_k[e + j] = mutwo_in<${compute(name)}>(four.v[j]);`,
        "    }",
      );
    else
      lines.push(
        "    #pragma unroll",
        `    for (int e = 0; e < ${perThread}; e++) ${guard("e")} ${name}_k[e] = mutwo_in<${compute(name)}>(${name}[(size_t)row * ${columns} + ${column("e")}]);`,
      );
  }
  for (const name of full)
    if (!contiguous.includes(name))
      lines.push(
        "    #pragma unroll",
        `    for (int e = 0; e < ${perThread}; e++) ${guard("e")} { const unsigned i = row * ${columns}u + ${column("e")}; ${name}_k[e] = mutwo_in<${compute(name)}>(${name}[${broadcastIndex(shape, type(name).shape, "i")}]); }`,
      );
  const loads = (nodes: readonly Node[], direct: readonly string[]): string[] => {
    const names = new Set([...nodes.flatMap((node) => node.inputs), ...direct]);
    return full
      .filter((name) => names.has(name))
      .map((name) => `      const ${compute(name)} ${name}_v = ${name}_k[e];`);
  };
  const compute1 = (node: Node, suffix: string, indent: string): string =>
    `${indent}const ${compute(node.outputs[0] as string)} ${node.outputs[0]}_${suffix} = ${expressionOf(node, body, value)};`;

  for (let stage = 0; stage <= lastLevel; stage++) {
    // row values that are known now
    for (const node of body.nodes) {
      const name = node.outputs[0] as string;
      if (!reductions[node.op] && reach.get(name) !== "full" && level.get(name) === stage)
        lines.push(compute1(node, "r", "    "));
    }
    if (stage === lastLevel) break;
    const due = body.nodes.filter((node) => reductions[node.op] && level.get(node.outputs[0] as string) === stage + 1);
    const sources = due.map((node) => node.inputs[0] as string);
    const nodes = needed(sources);
    for (const node of due) {
      const name = node.outputs[0] as string;
      lines.push(`    ${compute(name)} ${name}_a = ${(reductions[node.op] as Reduction).start(type(name).dtype)};`);
    }
    lines.push("    #pragma unroll", `    for (int e = 0; e < ${perThread}; e++) ${guard("e")} {`);
    lines.push(...loads(nodes, sources));
    for (const node of nodes) lines.push(compute1(node, "v", "      "));
    for (const node of due) {
      const name = node.outputs[0] as string;
      lines.push(
        `      ${name}_a = ${(reductions[node.op] as Reduction).join(`${name}_a`, value(node.inputs[0] as string))};`,
      );
    }
    lines.push("    }");
    for (const node of due) {
      const name = node.outputs[0] as string;
      const { join, finish, start } = reductions[node.op] as Reduction;
      const shuffle = `for (int o = 16; o; o /= 2) ${name}_a = ${join(`${name}_a`, `__shfl_xor_sync(0xffffffffu, ${name}_a, o)`)};`;
      lines.push(`    ${shuffle}`);
      if (lanes > 32)
        lines.push(
          "    __syncthreads();",
          `    if (lane % 32 == 0) ((${compute(name)}*)mutwo_shared)[lane / 32] = ${name}_a;`,
          "    __syncthreads();",
          `    ${name}_a = lane % 32 < ${lanes / 32} ? ((${compute(name)}*)mutwo_shared)[lane % 32] : ${start(type(name).dtype)};`,
          `    ${shuffle}`,
        );
      lines.push(`    const ${compute(name)} ${name}_r = ${finish(`${name}_a`, type(name).dtype, columns)};`);
    }
  }
  const fullOutputs = body.outputs.filter((name) => isFull(type(name), shape) && columns > 1);
  const nodes = needed(fullOutputs);
  if (fullOutputs.length) {
    const step = width;
    lines.push("    #pragma unroll", `    for (int e0 = 0; e0 < ${perThread}; e0 += ${step}) ${guard("e0")} {`);
    if (width === 4) for (const name of fullOutputs) lines.push(`      mutwo_four<${memory(name)}> ${name}_4;`);
    lines.push("      #pragma unroll", `      for (int e = e0; e < e0 + ${step}; e++) {`);
    lines.push(...loads(nodes, fullOutputs));
    for (const node of nodes) lines.push(compute1(node, "v", "      "));
    for (const name of fullOutputs) {
      // a row value that goes into every column
      const result = `mutwo_out<${memory(name)}>(${value(name)})`;
      lines.push(
        width === 4
          ? `      ${name}_4.v[e - e0] = ${result};`
          : `      ${name}[(size_t)row * ${columns} + ${column("e")}] = ${result};`,
      );
    }
    lines.push("      }");
    if (width === 4)
      for (const name of fullOutputs)
        lines.push(
          `      *(mutwo_four<${memory(name)}>*)(${name} + (size_t)row * ${columns} + ${column("e0")}) = ${name}_4;`,
        );
    lines.push("    }");
  }
  for (const name of body.outputs)
    if (!fullOutputs.includes(name))
      lines.push(`    if (lane == 0) ${name}[row] = mutwo_out<${memory(name)}>(${value(name)});`);
  lines.push("  }");
  return named(
    (name) =>
      `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(${parameters(body)}) {\n${lines.join("\n")}\n}\n`,
    blocks,
    threads,
  );
}
