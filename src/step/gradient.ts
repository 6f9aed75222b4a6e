import type { Builder } from "../build/build.js";
import { NodeError } from "../graph/errors.js";
import type { Node } from "../graph/graph.js";
import { addTo } from "../graph/lists.js";
import { gradientName } from "../graph/names.js";
import { callOf, inputOf } from "../ops/call.js";
import { opOf } from "../ops/index.js";
import type { GradientCall, InputGradient, PartialGradient } from "../ops/op.js";
import { wholeGradient } from "./partial.js";

/** Tensors through which the loss can depend on the wanted ones: `wanted` and everything differentiable made of them. */
export function dependents(nodes: readonly Node[], wanted: ReadonlySet<string>): Set<string> {
  const found = new Set(wanted);
  for (const node of nodes)
    if (opOf(node).gradient !== "zero" && node.inputs.some((name) => found.has(name)))
      for (const output of node.outputs) if (output) found.add(output);
  return found;
}

/**
 * Walks the nodes backward from the seeds and emits the gradient of every tensor on the way into `b`.
 *
 * `seeds` names the gradients known at the start (of the model's output, by the loss). Returns the gradient's name for
 * each wanted tensor that the seeds depend on; the others are absent. Throws `no gradient: <op> (node <name>)`.
 */
export function backward(
  b: Builder,
  nodes: readonly Node[],
  seeds: ReadonlyMap<string, string>,
  wanted: ReadonlySet<string>,
): Map<string, string> {
  const needed = dependents(nodes, wanted);
  const gradients = new Gradients(b, seeds, readersOf(nodes, needed));
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i] as Node;
    const wantsAny = node.inputs.some((name) => needed.has(name));
    if (!wantsAny || !node.outputs.some((name) => gradients.has(name))) continue;
    const { gradient } = opOf(node);
    if (gradient === "zero") continue;
    if (gradient === "none")
      throw new NodeError(`no gradient: ${node.op}`, node, {
        hint: "--freeze the parameters before it, or export the model up to what is before it",
      });
    b.scope = gradientName(node.name);
    const results = gradient(gradientCall(b, node, gradients, needed));
    results.forEach((result, index) => {
      const input = node.inputs[index];
      if (!result || !input || !needed.has(input)) return;
      gradients.add(input, result, node);
    });
    // a tensor's gradient is complete at its producer; nothing above reads it again
    for (const output of node.outputs) if (!wanted.has(output)) gradients.delete(output);
  }
  return new Map(
    gradients.names().flatMap((name) => (wanted.has(name) ? [[name, gradients.get(name) as string]] : [])),
  );
}

/** How many of the nodes read each of these tensors. */
function readersOf(nodes: readonly Node[], tensors: ReadonlySet<string>): Map<string, number> {
  const readers = new Map<string, number>();
  for (const { inputs } of nodes)
    for (const name of inputs) if (tensors.has(name)) readers.set(name, (readers.get(name) ?? 0) + 1);
  return readers;
}

/** The gradients known so far, by the names of their tensors. */
class Gradients {
  /** In the order in which tensors got their first gradient; empty while only parts of it are known. */
  private readonly whole: Map<string, string>;
  /** Those of parts of tensors, with the scopes that they were made in: joined when the whole is asked for. */
  private readonly parts = new Map<string, { part: PartialGradient; scope: string }[]>();

  constructor(
    private readonly b: Builder,
    seeds: ReadonlyMap<string, string>,
    private readonly readers: ReadonlyMap<string, number>,
  ) {
    this.whole = new Map(seeds);
  }

  has(name: string): boolean {
    return this.whole.has(name);
  }

  names(): readonly string[] {
    return [...this.whole.keys()];
  }

  delete(name: string): void {
    this.whole.delete(name);
    this.parts.delete(name);
  }

  /** Adds what a node gives its input. Throws `shape mismatch: …`. */
  add(name: string, given: InputGradient, node: Node): void {
    const gradient = typeof given === "function" ? given(this.readers.get(name) === 1) : given;
    if (typeof gradient === "string") {
      const [expected, actual] = [this.b.type(name).shape, this.b.type(gradient).shape];
      if (expected.length !== actual.length || expected.some((size, axis) => size !== actual[axis]))
        throw new Error(
          `shape mismatch: gradient [${actual}] for ${name} [${expected}] (op ${node.op}, node ${node.name})`,
        );
      this.addWhole(name, gradient);
      return;
    }
    if (!this.has(name)) this.whole.set(name, "");
    for (const part of "cuts" in gradient ? [gradient] : gradient)
      addTo(this.parts, name, { part, scope: this.b.scope });
  }

  /** The gradient of a tensor; undefined if nothing is known of it. */
  get(name: string): string | undefined {
    const parts = this.parts.get(name);
    if (parts) {
      const { b } = this;
      const { scope } = b;
      b.scope = parts.at(-1)?.scope ?? scope;
      this.parts.delete(name);
      const list = parts.map(({ part }) => part);
      this.addWhole(name, wholeGradient(b, list, b.type(name).shape));
      b.scope = scope;
    }
    return this.whole.get(name);
  }

  private addWhole(name: string, gradient: string): void {
    const { b, whole } = this;
    const sum = whole.get(name);
    const tensor = b.type(gradient);
    if (tensor.category === "temporary") b.redeclare({ ...tensor, category: "gradient" });
    whole.set(name, sum ? b.op("Add", [sum, gradient], {}, { category: "gradient" }) : gradient);
  }
}

function gradientCall(b: Builder, node: Node, gradients: Gradients, needed: ReadonlySet<string>): GradientCall {
  // asks the node as it is now: rules may have asked it for further outputs
  const outputName = (index: number): string => b.node(node.name).outputs[index] || b.wantOutput(node.name, index);
  // a spread of so many functions takes ten times as long
  return Object.assign(callOf(node, b.tensors), {
    b,
    x: (index: number) => inputOf(node, index),
    y: outputName,
    dy: (index: number) => gradients.get(node.outputs[index] || ""),
    wants: (index: number) => needed.has(node.inputs[index] || ""),
    output: (index: number) => b.type(outputName(index)),
  });
}
