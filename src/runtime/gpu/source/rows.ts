import { elementCount, type Graph, type Node, type Tensor } from "../../../graph/graph.js";
import { callOf } from "../../../ops/call.js";
import { computeTypes, literal, type Reduction, reductions } from "./expressions.js";
import { type KernelSource, memoryTypes, named, parameters } from "./kernel.js";
import { broadcastIndex, expressionOf, isFull, type Reach, scalarOf } from "./pointwise.js";

export function reducedAxesOf(node: Node, body: Graph): number {
  const call = callOf(node, body.tensors);
  const { shape } = call.input(0);
  const axes = call.inputs[1] ? call.constant(1) : call.ints("axes");
  return axes?.length ? axes.length : shape.length;
}

/** Elements of a row that one thread keeps at most. */
const mostPerThread = 32;

export function rowKernel(
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
