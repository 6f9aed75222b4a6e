import type { Builder } from "../build/build.js";
import { NodeError } from "../graph/errors.js";
import { elementCount, type Graph, type Node, type Tensor } from "../graph/graph.js";
import { callOf } from "../ops/call.js";
import { opOf } from "../ops/index.js";
import type { ModelsCall, ModelsRule, OfModels, Op } from "../ops/op.js";
import { elementByElement } from "../ops/over-models.js";
import { ModelValues } from "./model-values.js";

/** A node that is done for each model by itself although the models are fused, and why. */
export interface SideBySide {
  readonly node: string;
  readonly op: string;
  /** "no rule": its op has none for these inputs; "random": each model draws its own numbers; "asked": somebody wants it so. */
  readonly why: "no rule" | "random" | "asked";
}

/** Nodes of one model, with the types of all that they read and make. */
export type Part = Pick<Graph, "nodes" | "tensors">;

/** Writes the nodes of several models of one architecture as nodes for all of them, by the ops' rules (`Op.overModels`). */
export class OverModels {
  readonly values: ModelValues;
  readonly sideBySide: SideBySide[] = [];

  /** `names` are the models'; nodes named in `apart` are done for each model by itself. */
  constructor(
    private readonly b: Builder,
    private readonly names: readonly string[],
    private readonly apart: ReadonlySet<string> = new Set(),
  ) {
    this.values = new ModelValues(b, names.length);
  }

  /**
   * Appends a part of each model: node for node the same but for what constants and other tensors hold that no node makes.
   * Of those, equal constants are one for all models.
   */
  append(parts: readonly Part[]): void {
    const [first] = parts as [Part];
    const made = new Set(first.nodes.flatMap(({ outputs }) => outputs));
    const residents = [...first.tensors.values()].flatMap(({ name, category }) =>
      made.has(name) || category === "constant" || this.values.has(name) ? [] : [name],
    );
    this.b.reserve([...first.nodes, { name: "", outputs: residents }]);
    first.nodes.forEach((node, rank) => {
      node.inputs.forEach((name, slot) => {
        if (name && !this.values.has(name)) this.meet(name, parts, rank, slot);
      });
      this.add(node, first);
    });
  }

  /** Takes in what no node of the models makes, as a node reads it. */
  private meet(name: string, parts: readonly Part[], rank: number, slot: number): void {
    const tensors = parts.map((part) => {
      const own = part.nodes[rank]?.inputs[slot] ?? "";
      const tensor = part.tensors.get(own);
      if (!tensor) throw new Error(`unknown tensor: ${own}`);
      return tensor;
    });
    const [first] = tensors as [Tensor];
    const isSame = ({ data }: Tensor): boolean =>
      data === first.data || (data && first.data && Buffer.compare(data, first.data) === 0) === true;
    if (first.category !== "constant" || !tensors.every(isSame)) {
      this.values.holdResidents(name, tensors);
      return;
    }
    const common = this.b.declare({ ...first, name: this.b.fresh(name) });
    this.values.holdCommon(name, first, common);
  }

  private add(node: Node, part: Part): void {
    const { b, values } = this;
    const op = opOf(node);
    const category = part.tensors.get(node.outputs.find(Boolean) ?? "")?.category ?? "activation";
    Object.assign(b, { phase: node.phase, category, scope: node.name });
    const reads = node.inputs.filter(Boolean);
    if (!op.random && reads.every((name) => values.at(name) === undefined)) {
      const outputs = this.again(
        node,
        node.inputs.map((name) => name && values.common(name)),
      );
      this.hold(
        node,
        part,
        outputs.map((name) => ({ name, at: undefined })),
      );
      return;
    }
    const why = this.whyApart(node, op);
    const made = why ? undefined : this.overModels(node, part, op);
    if (made) this.hold(node, part, made);
    else this.addEach(node, part);
    if (why !== "follows" && !made) this.sideBySide.push({ node: node.name, op: node.op, why: why ?? "no rule" });
  }

  /** Why a node is done for each model by itself; undefined if it need not be. */
  private whyApart(node: Node, op: Op): SideBySide["why"] | "follows" | undefined {
    const { values } = this;
    if (op.random) return "random";
    if (this.apart.has(node.name)) return "asked";
    // empty tensors have no kernels for what moves them
    const isEmpty = (name: string): boolean => name !== "" && elementCount(values.type(name).shape) === 0;
    if (
      !ruleOf(op) ||
      node.inputs.some(isEmpty) ||
      op.hostInputs.some((slot) => node.inputs[slot] && values.at(node.inputs[slot]) !== undefined)
    )
      return "no rule";
    // what only joins what is apart would be copied for it
    const own = node.inputs.filter((name) => name && values.at(name) !== undefined && !values.isResident(name));
    return !op.product && own.length > 0 && own.every((name) => values.isApart(name)) ? "follows" : undefined;
  }

  private overModels(node: Node, part: Part, op: Op): readonly OfModels[] | undefined {
    const { b, values } = this;
    const lone = callOf(node, part.tensors);
    const types = op.infer(lone);
    const call: ModelsCall = Object.assign(lone, {
      b,
      models: this.names.length,
      at: (index: number) => (node.inputs[index] ? values.at(node.inputs[index]) : undefined),
      x: (index: number) => values.common(node.inputs[index] as string),
      joint: (index: number, at: 0 | 1, shape?: readonly number[]) =>
        values.joint(node.inputs[index] as string, at, shape),
      output: (index: number) => {
        const type = types[index];
        if (!type) throw new NodeError(`${node.op} has no output ${index}`, node);
        return type;
      },
      again: (inputs: readonly (string | undefined)[], attributes = node.attributes) =>
        this.again(node, inputs, attributes),
    });
    return ruleOf(op)?.(call);
  }

  /** Adds a node under its own names, as far as they are free. */
  private again(node: Node, inputs: readonly (string | undefined)[], attributes = node.attributes): string[] {
    const { b } = this;
    const outputs = node.outputs.map((name) => name && this.free(name));
    return b.add(node.op, inputs, attributes, { domain: node.domain, name: node.name, outputs });
  }

  private free(name: string): string {
    return this.b.tensors.has(name) ? this.b.fresh(name) : name;
  }

  private addEach(node: Node, part: Part): void {
    const { b, values, names } = this;
    const inputs = node.inputs.map((name) => (name ? values.each(name) : undefined));
    const made = names.map((model, i) => {
      const name = `${model}/${node.name}`;
      const outputs = node.outputs.map((output) => output && this.free(`${model}/${output}`));
      b.reserve([{ name, outputs }]);
      return b.add(
        node.op,
        inputs.map((each) => each?.[i]),
        node.attributes,
        { domain: node.domain, name, outputs },
      );
    });
    node.outputs.forEach((name, k) => {
      if (!name) return;
      const each = made.map((outputs) => outputs[k] as string);
      values.holdEach(name, part.tensors.get(name) as Tensor, each);
    });
  }

  private hold(node: Node, part: Part, made: readonly OfModels[]): void {
    node.outputs.forEach((name, k) => {
      const result = made[k];
      const type = part.tensors.get(name);
      if (!name || !result || !type) return;
      if (result.at === undefined) this.values.holdCommon(name, type, result.name);
      else this.values.holdJoint(name, type, result.name, result.at);
    });
  }
}

/** The rule by which a node is done for several models at once. */
const ruleOf = (op: Op): ModelsRule | undefined => op.overModels ?? (op.pointwise ? elementByElement : undefined);
