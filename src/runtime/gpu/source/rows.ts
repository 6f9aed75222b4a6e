import type { Graph, Node, Tensor } from "../../../graph/graph.js";
import { callOf } from "../../../ops/call.js";
import { computeTypes, literal, type Reduction, reductions } from "./expressions.js";
import { type KernelSource, memoryTypes, named, parameters } from "./kernel.js";
import { broadcastIndex, expressionOf, isFull, scalarOf } from "./pointwise.js";
import { fullNodesFor, levelsOf, type Reach, reachesOf } from "./reach.js";
import { type RowGrid, rowGrid } from "./row-grid.js";

/** How many trailing axes a reduction goes over. */
export function reducedAxesOf(node: Node, body: Graph): number {
  const call = callOf(node, body.tensors);
  const { shape } = call.input(0);
  const axes = call.inputs[1] ? call.constant(1) : call.ints("axes");
  return axes?.length ? axes.length : shape.length;
}

/**
 * A kernel for rows of the full shape: each goes over the `trailing` axes that are reduced. Rows that its threads can keep
 * are read once; longer ones are read again for each reduction and for what is written, from the cache where they fit.
 */
export function rowKernel(
  body: Graph,
  used: readonly string[],
  shape: readonly number[],
  trailing: number,
  aligned: boolean,
  multiprocessors: number,
): KernelSource {
  const grid = rowGrid(shape, trailing, aligned);
  const { rows, lanes, warpsPerBlock } = grid;
  const threads = lanes === 32 ? 32 * warpsPerBlock : lanes;
  const most = multiprocessors * (lanes === 32 ? 64 : 16);
  const blocks = Math.max(1, Math.min(Math.ceil(rows / warpsPerBlock), most));
  const lines = new RowText(body, used, shape, trailing, grid).lines();
  return named(
    (name) =>
      `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(${parameters(body)}) {\n${lines.join("\n")}\n}\n`,
    blocks,
    threads,
  );
}

/**
 * The text of a row kernel. Names in it: `x_k` the elements of an input that a thread keeps, `x_v` a value of one
 * element, `x_r` one of a row, `x_a` a reduction's state, `x_4` four elements to be written.
 */
class RowText {
  private readonly reach: ReadonlyMap<string, Reach>;
  private readonly level: ReadonlyMap<string, number>;
  /** Inputs that differ from column to column. */
  private readonly full: readonly string[];
  private readonly text: string[] = [];

  constructor(
    private readonly body: Graph,
    private readonly used: readonly string[],
    private readonly shape: readonly number[],
    private readonly trailing: number,
    private readonly grid: RowGrid,
  ) {
    this.reach = reachesOf(body, used, shape, trailing);
    this.level = levelsOf(body);
    this.full = used.filter((name) => this.reach.get(name) === "full");
  }

  lines(): readonly string[] {
    const { text } = this;
    const { rows, lanes, warpsPerBlock } = this.grid;
    if (lanes > 32) text.push(`  __shared__ double mutwo_shared[33];`);
    text.push(
      lanes === 32 ? `  const int lane = threadIdx.x % 32;` : `  const int lane = threadIdx.x;`,
      lanes === 32
        ? `  for (unsigned row = blockIdx.x * ${warpsPerBlock}u + threadIdx.x / 32; row < ${rows}u; row += gridDim.x * ${warpsPerBlock}u) {`
        : `  for (unsigned row = blockIdx.x; row < ${rows}u; row += gridDim.x) {`,
    );
    this.readRowValues();
    if (this.grid.keeps) this.readFullInputs();
    const lastLevel = Math.max(...this.level.values());
    for (let level = 0; level <= lastLevel; level++) {
      this.computeRowValues(level);
      if (level < lastLevel) this.reduceTo(level + 1);
    }
    const fullOutputs = this.body.outputs.filter(
      (name) => isFull(this.type(name), this.shape) && this.grid.columns > 1,
    );
    if (fullOutputs.length) this.writeFull(fullOutputs);
    for (const name of this.body.outputs)
      if (!fullOutputs.includes(name))
        text.push(`    if (lane == 0) ${name}[row] = mutwo_out<${this.memory(name)}>(${this.value(name)});`);
    text.push("  }");
    return text;
  }

  /** Inputs that are the same in a whole row, or everywhere. */
  private readRowValues(): void {
    const { shape, trailing } = this;
    const rowShape = shape.map((n, axis) => (axis < shape.length - trailing ? n : 1));
    for (const name of this.used) {
      const tensor = this.type(name);
      if (this.reach.get(name) === "full" || scalarOf(tensor) !== undefined) continue;
      const at = this.reach.get(name) === "row" ? broadcastIndex(rowShape, tensor.shape, "row") : "0";
      const compute = this.compute(name);
      this.text.push(`    const ${compute} ${name}_r = mutwo_in<${compute}>(${name}[${at}]);`);
    }
  }

  /** Each full input is read once and kept in registers. */
  private readFullInputs(): void {
    const { text, full, shape } = this;
    const { perThread } = this.grid;
    for (const name of full) text.push(`    ${this.compute(name)} ${name}_k[${perThread}];`);
    const contiguous = full.filter((name) => isFull(this.type(name), shape));
    for (const name of contiguous) this.readContiguous(name);
    for (const name of full)
      if (!contiguous.includes(name)) {
        text.push(
          "    #pragma unroll",
          `    for (int e = 0; e < ${perThread}; e++) ${this.guard("e")} { ${this.place("e")} ${name}_k[e] = ${this.read(name)}; }`,
        );
      }
  }

  private readContiguous(name: string): void {
    const { perThread, columns, width } = this.grid;
    const [compute, four] = [this.compute(name), `mutwo_four<${this.memory(name)}>`];
    if (width === 4)
      this.text.push(
        "    #pragma unroll",
        `    for (int e = 0; e < ${perThread}; e += 4) ${this.guard("e")} {`,
        `      const ${four} four = *(const ${four}*)(${name} + (size_t)row * ${columns} + ${this.column("e")});`,
        `      for (int j = 0; j < 4; j++) ${name}_k[e + j] = mutwo_in<${compute}>(four.v[j]);`,
        "    }",
      );
    else
      this.text.push(
        "    #pragma unroll",
        `    for (int e = 0; e < ${perThread}; e++) ${this.guard("e")} ${name}_k[e] = mutwo_in<${compute}>(${name}[(size_t)row * ${columns} + ${this.column("e")}]);`,
      );
  }

  /** Row values that are known once the reductions of a level are finished. */
  private computeRowValues(level: number): void {
    for (const node of this.body.nodes) {
      const name = node.outputs[0] as string;
      if (!reductions[node.op] && this.reach.get(name) !== "full" && this.level.get(name) === level)
        this.text.push(this.computed(node, "r", "    "));
    }
  }

  /** The reductions of a level, all in one pass over the row. */
  private reduceTo(level: number): void {
    const { text } = this;
    const due = this.body.nodes.filter(
      (node) => reductions[node.op] && this.level.get(node.outputs[0] as string) === level,
    );
    const sources = due.map((node) => node.inputs[0] as string);
    const nodes = fullNodesFor(sources, this.body, this.reach);
    for (const node of due) {
      const name = node.outputs[0] as string;
      const { start } = reductions[node.op] as Reduction;
      text.push(`    ${this.compute(name)} ${name}_a = ${start(this.type(name).dtype)};`);
    }
    this.eachElement(nodes, sources, () => {
      for (const node of due) {
        const name = node.outputs[0] as string;
        const { join } = reductions[node.op] as Reduction;
        text.push(`      ${name}_a = ${join(`${name}_a`, this.value(node.inputs[0] as string))};`);
      }
    });
    for (const node of due) this.joinThreads(node);
  }

  /** Joins the states of a reduction that the threads of a row have, and finishes it. */
  private joinThreads(node: Node): void {
    const { lanes, columns } = this.grid;
    const name = node.outputs[0] as string;
    const { dtype } = this.type(name);
    const compute = this.compute(name);
    const { join, finish, start } = reductions[node.op] as Reduction;
    const shuffle = `for (int o = 16; o; o /= 2) ${name}_a = ${join(`${name}_a`, `__shfl_xor_sync(0xffffffffu, ${name}_a, o)`)};`;
    this.text.push(`    ${shuffle}`);
    if (lanes > 32)
      this.text.push(
        "    __syncthreads();",
        `    if (lane % 32 == 0) ((${compute}*)mutwo_shared)[lane / 32] = ${name}_a;`,
        "    __syncthreads();",
        `    ${name}_a = lane % 32 < ${lanes / 32} ? ((${compute}*)mutwo_shared)[lane % 32] : ${start(dtype)};`,
        `    ${shuffle}`,
      );
    this.text.push(`    const ${compute} ${name}_r = ${finish(`${name}_a`, dtype, columns)};`);
  }

  /** Outputs of the full shape, all in one pass over the row. */
  private writeFull(outputs: readonly string[]): void {
    const { text } = this;
    const { columns, width } = this.grid;
    const nodes = fullNodesFor(outputs, this.body, this.reach);
    const before = width === 4 ? outputs.map((name) => `      mutwo_four<${this.memory(name)}> ${name}_4;`) : [];
    const after = outputs.map(
      (name) =>
        `      *(mutwo_four<${this.memory(name)}>*)(${name} + (size_t)row * ${columns} + ${this.column("e0")}) = ${name}_4;`,
    );
    this.eachElement(
      nodes,
      outputs,
      () => {
        for (const name of outputs) {
          // a row value that goes into every column
          const result = `mutwo_out<${this.memory(name)}>(${this.value(name)})`;
          text.push(
            width === 4
              ? `      ${name}_4.v[e - e0] = ${result};`
              : `      ${name}[(size_t)row * ${columns} + ${this.column("e")}] = ${result};`,
          );
        }
      },
      { before, after: width === 4 ? after : [] },
    );
  }

  /** A pass over a thread's elements, as many at a time as are written together: some nodes are computed, then `inner`. */
  private eachElement(
    nodes: readonly Node[],
    direct: readonly string[],
    inner: () => void,
    { before = [], after = [] }: { readonly before?: readonly string[]; readonly after?: readonly string[] } = {},
  ): void {
    const { text } = this;
    const { perThread, width, keeps, columns } = this.grid;
    const names = new Set([...nodes.flatMap((node) => node.inputs), ...direct]);
    const inputs = this.full.filter((name) => names.has(name));
    const fours = keeps || width === 1 ? [] : inputs.filter((name) => isFull(this.type(name), this.shape));
    text.push(
      keeps ? "    #pragma unroll" : `    #pragma unroll ${8 / width}`,
      `    for (int e0 = 0; e0 < ${perThread}; e0 += ${width}) ${this.guard("e0")} {`,
      ...before,
    );
    for (const name of fours) {
      const four = `mutwo_four<${this.memory(name)}>`;
      text.push(
        `      const ${four} ${name}_4 = *(const ${four}*)(${name} + (size_t)row * ${columns} + ${this.column("e0")});`,
      );
    }
    text.push("      #pragma unroll", `      for (int e = e0; e < e0 + ${width}; e++) {`);
    if (!keeps && inputs.length > fours.length) text.push(`      ${this.place("e")}`);
    for (const name of inputs) {
      const four = `mutwo_in<${this.compute(name)}>(${name}_4.v[e - e0])`;
      const value = keeps ? `${name}_k[e]` : fours.includes(name) ? four : this.read(name);
      text.push(`      const ${this.compute(name)} ${name}_v = ${value};`);
    }
    for (const node of nodes) text.push(this.computed(node, "v", "      "));
    inner();
    text.push("      }", ...after, "    }");
  }

  /** Says where a thread's element lies in the full shape: `i`. */
  private place(e: string): string {
    const { rows, columns } = this.grid;
    const type = rows * columns >= 2 ** 31 ? "size_t" : "unsigned";
    return `const ${type} i = (${type})row * ${columns}u + ${this.column(e)};`;
  }

  /** A full input's element at `i`. */
  private read(name: string): string {
    const { shape } = this.type(name);
    const at = isFull(this.type(name), this.shape) ? "i" : broadcastIndex(this.shape, shape, "i");
    return `mutwo_in<${this.compute(name)}>(${name}[${at}])`;
  }

  /** A node's result as a constant of its own. */
  private computed(node: Node, suffix: "r" | "v", indent: string): string {
    const name = node.outputs[0] as string;
    const expression = expressionOf(node, this.body, (input) => this.value(input));
    return `${indent}const ${this.compute(name)} ${name}_${suffix} = ${expression};`;
  }

  private value(name: string): string {
    const constant = scalarOf(this.type(name));
    if (constant !== undefined) return literal(this.type(name).dtype, constant);
    return this.reach.get(name) === "full" ? `${name}_v` : `${name}_r`;
  }

  /** The column of a thread's element. */
  private column(e: string): string {
    const { width, lanes } = this.grid;
    return width === 4 ? `((${e} / 4) * ${4 * lanes} + lane * 4 + ${e} % 4)` : `(${e} * ${lanes} + lane)`;
  }

  /** Keeps threads within the row where it does not fill them all. */
  private guard(e: string): string {
    const { perThread, lanes, columns } = this.grid;
    return perThread * lanes === columns ? "" : `if (${this.column(e)} < ${columns})`;
  }

  private type(name: string): Tensor {
    return this.body.tensors.get(name) as Tensor;
  }

  private compute(name: string): string {
    return computeTypes[this.type(name).dtype] as string;
  }

  private memory(name: string): string {
    return memoryTypes[this.type(name).dtype] as string;
  }
}
