import { few } from "../format.js";
import { dtypeOfNumber, elementCount, isFloat } from "../graph/graph.js";
import { addTo } from "../graph/lists.js";
import { opOf } from "../ops/index.js";
import type { Op } from "../ops/op.js";
import { formulaOf, isFilled } from "./formula.js";
import { type Held, isUniform, maskOf } from "./held.js";
import type { Model, ModelNode, ModelValue } from "./model.js";
import { handsOn, type WrittenNorms, writtenNorms } from "./statistics.js";

/** Names under which PyTorch's modules keep float buffers, for files that do not say which tensors are buffers. */
const bufferNames =
  /(^|\.)(running_mean|running_var|inv_freq|attn_mask|causal_mask|masked_bias|relative_coords_table|lifted_tensor\w*)$/;

/** What PyTorch's newer exporter says of each parameter and buffer of the model, by name: PARAMETER, BUFFER, … */
function signatureOf(model: Model): Map<string, string> {
  const signature = model.graphMetadata["pkg.torch.export.ExportedProgram.graph_signature"] ?? "";
  return new Map(
    [...signature.matchAll(/^\S+: ([A-Z_]+) target='([^']*)'/gm)].map(([, kind = "", name = ""]) => [name, kind]),
  );
}

/** Where a tensor is read, seen through views and what else hands its elements on. */
interface Use {
  readonly node: ModelNode;
  readonly slot: number;
  readonly kind: "state" | "host" | "no gradient" | "weight" | "setting" | "value";
}

/** Graph inputs of floats that have a fixed shape and no value: they may be weights, but for the first if it can be data alone. */
export function givenTensors({ inputs, initializers }: Model): ModelValue[] {
  const isNumber = (dim: unknown): boolean => typeof dim === "number";
  const open = inputs.some(({ dims }) => !dims.every(isNumber));
  return inputs
    .slice(open ? 0 : 1)
    .filter(({ name, dtype, dims }) => isFloat(dtype) && !initializers.has(name) && dims.every(isNumber));
}

/** What a model's graph says of the float tensors that the file holds: why one is not trained. */
export class Rule {
  /** Tensors that kernels read as running statistics or state, whether the file holds them or not. */
  readonly buffers = new Set<string>();
  /** Parameters of PyTorch's signature that the file does not hold under their names. */
  readonly absent: readonly string[];
  private readonly signature: ReadonlyMap<string, string>;
  private readonly isPytorch: boolean;
  private readonly uses = new Map<string, Use[]>();
  /** The held tensor or graph input whose elements a tensor has. */
  private readonly source = new Map<string, string>();
  /** Products with a weight: what each made, and whether it has one channel only. */
  private readonly products = new Map<string, { readonly single: boolean }>();
  /** Tensors that the graph's inputs became without meeting a weight. */
  private readonly raw = new Set<string>();
  /** Held tensors by which the model's inputs are standardised. */
  private readonly standards = new Set<string>();
  /** Tensors that are made of float inputs or of more than single numbers: not of positions alone. */
  private readonly measured = new Set<string>();
  private readonly held: ReadonlyMap<string, readonly number[]>;
  private readonly values: ReadonlyMap<string, Held>;
  private readonly norms: WrittenNorms;

  /** `held`: the float tensors that the model holds. */
  constructor(model: Model, held: readonly Held[]) {
    this.isPytorch = /^pytorch/.test(model.producer);
    this.signature = signatureOf(model);
    const present = new Set([...model.initializers.keys(), ...model.inputs.map(({ name }) => name)]);
    this.absent = [...this.signature].flatMap(([name, kind]) =>
      kind === "PARAMETER" && !present.has(name) ? [name] : [],
    );
    this.held = new Map(held.map(({ name, shape }) => [name, shape]));
    this.values = new Map(held.map((tensor) => [tensor.name, tensor]));
    for (const { name, dtype } of model.inputs)
      if (!model.initializers.has(name)) {
        this.raw.add(name);
        if (isFloat(dtype)) this.measured.add(name);
      }
    for (const [name, shape] of this.held) if (elementCount(shape) > 1) this.measured.add(name);
    for (const node of model.nodes) this.visit(node);
    const isWithout = ![...this.held.keys()].some((name) => this.isWeight(name));
    const asWeights = isWithout ? givenTensors(model).filter(({ dims }) => elementCount(dims as number[]) > 1) : [];
    this.norms = writtenNorms(
      model,
      held,
      asWeights.map(({ name }) => name),
    );
  }

  private rootOf(name: string): string {
    return this.source.get(name) ?? name;
  }

  private visit(node: ModelNode): void {
    const op = opOf(node);
    const { inputs, outputs, attributes } = node;
    const [first = ""] = inputs;
    const [made = ""] = outputs;
    const passesOn = handsOn(node);
    const to = attributes.to?.type === "int" ? dtypeOfNumber(attributes.to.value) : "float32";
    const stops = op.gradient === "zero" || !isFloat(to);
    for (const [slot, name] of inputs.entries()) {
      if (!name || (passesOn && !stops && slot === 0)) continue;
      const root = this.rootOf(name);
      const isState = op.buffers?.[slot] !== undefined && !this.isLearned(op, slot, root);
      if (isState) this.buffers.add(root);
      const kind = ((): Use["kind"] => {
        if (isState) return "state";
        if (op.hostInputs.includes(slot)) return "host";
        if (stops) return "no gradient";
        const holds = op.holds?.[slot] ?? (op.product ? "weight" : "value");
        return holds === "standard" ? "value" : holds;
      })();
      addTo(this.uses, root, { node, slot, kind });
    }
    if (!stops && inputs.some((name) => this.measured.has(name))) for (const name of outputs) this.measured.add(name);
    const weight = op.product && inputs.slice(0, 2).map((name) => this.held.get(this.rootOf(name)));
    if (weight?.some(Boolean)) {
      const shape = weight.find(Boolean) as readonly number[];
      // a vector is a column
      const ends = op.product === "windows" ? [shape[0]] : [shape.at(-1), shape.at(-2) ?? 1];
      this.products.set(made, { single: ends.includes(1) });
    }
    if (passesOn && !stops) {
      this.source.set(made, this.rootOf(first));
      const product = this.products.get(first);
      if (product) this.products.set(made, product);
    }
    const data = inputs.filter((name, slot) => name && !op.hostInputs.includes(slot));
    const moves = passesOn || op.passes || (data.length === 1 && !op.pointwise);
    this.visitRaw(node, Boolean(moves) && data.every((name) => this.raw.has(name)));
  }

  /** Whether a state that the file holds was learned: an exporter's own is of one value. */
  private isLearned({ learnable }: Op, slot: number, root: string): boolean {
    const held = learnable?.includes(slot) && this.values.get(root);
    return Boolean(held && !isUniform(held));
  }

  /** Follows the model's inputs to the first weight, through what standardises them. */
  private visitRaw(node: ModelNode, handsOn: boolean): void {
    const op = opOf(node);
    const [made = ""] = node.outputs;
    const at = node.inputs.findIndex((name) => this.raw.has(name));
    if (at < 0) return;
    if (handsOn) for (const name of node.outputs) this.raw.add(name);
    if (!op.pointwise || node.inputs.length !== 2) return;
    const other = this.rootOf(node.inputs[1 - at] as string);
    const shape = this.held.get(other);
    if (!shape) return;
    const isStandard = at === 0 && op.holds?.[1] === "standard";
    // (x − mean)·(1 / deviation) is written so too
    const isScale = op.scales?.includes(1 - at) && this.standardised.has(node.inputs[at] as string);
    if (isStandard || isScale) this.standards.add(other);
    if (isStandard || isScale || elementCount(shape) === 1) {
      this.raw.add(made);
      if (isStandard) this.standardised.add(made);
    }
  }

  private readonly standardised = new Set<string>();

  /** Whether a reader takes a tensor for its weight: any, or not counting products of two tensors. */
  isWeight(name: string, products = true): boolean {
    return (this.uses.get(name) ?? []).some(
      ({ node, slot, kind }) =>
        kind === "weight" &&
        (products || opOf(node).product === undefined || (opOf(node).product === "windows" && slot > 0)),
    );
  }

  /** Whether a graph input of fixed shape can be a parameter, as far as the graph says without its values. */
  couldTrain(name: string, shape: readonly number[]): boolean {
    const uses = this.uses.get(name) ?? [];
    const kinds = new Set(uses.map(({ kind }) => kind));
    if (kinds.has("state") || kinds.has("host") || this.norms.statistics.has(name)) return false;
    const said = this.signature.get(name);
    if (said) return said === "PARAMETER";
    const isOther = this.isModuleName(name) ? bufferNames.test(name) : shape.length === 0;
    return !isOther && (kinds.has("weight") || kinds.has("value"));
  }

  private isModuleName(name: string): boolean {
    return this.isPytorch && /^[A-Za-z_]\w*(\.\w+)*$/.test(name);
  }

  /** Why a tensor is not trained; undefined if it is. */
  reasonAgainst(tensor: Held): string | undefined {
    const { name, shape, isLiteral } = tensor;
    const uses = this.uses.get(name) ?? [];
    const opsOf = (kind: Use["kind"]): string =>
      few([...new Set(uses.filter((use) => use.kind === kind).map(({ node }) => node.op))]);
    const kinds = new Set(uses.map(({ kind }) => kind));
    if (kinds.has("state")) {
      const first = uses.find(({ kind }) => kind === "state") as Use;
      return `${opOf(first.node).buffers?.[first.slot]} of ${opsOf("state")}`;
    }
    if (kinds.has("host")) return `a setting of ${opsOf("host")}`;
    const said = this.signature.get(name);
    if (said)
      return said === "PARAMETER" ? undefined : `${said.toLowerCase().replaceAll("_", " ")} of the PyTorch model`;
    if (elementCount(shape) === 0) return "no elements";
    if (!uses.length) return "no node reads it";
    if (uses.every(({ kind }) => kind === "no gradient")) return `no gradient passes ${opsOf("no gradient")}`;
    if (this.signature.size && !this.absent.length) return "constant of the PyTorch model";
    if (isLiteral && this.isPytorch) return "a literal in the PyTorch model's code";
    const isModuleName = this.isModuleName(name);
    if (isModuleName && bufferNames.test(name)) return "a buffer of the PyTorch model, by its name";
    if (kinds.has("weight")) return this.isFrequency(tensor, uses) ? "frequencies that multiply positions" : undefined;
    return this.reasonByValues(tensor, uses, isModuleName);
  }

  /** The same for a tensor that nothing takes for a weight. */
  private reasonByValues(tensor: Held, uses: readonly Use[], isModuleName: boolean): string | undefined {
    const { name, shape } = tensor;
    const products = uses.flatMap(({ node, slot }) =>
      node.inputs.length === 2 ? (this.products.get(node.inputs[1 - slot] as string) ?? []) : [],
    );
    if (elementCount(shape) === 1) {
      const isBias = shape.length > 0 && products.some(({ single }) => single);
      return isBias || isModuleName ? undefined : "a single number";
    }
    const settings = uses.filter(({ kind }) => kind === "setting");
    if (settings.length === uses.length && !isModuleName) return `a setting of ${settings[0]?.node.op}`;
    if (this.standards.has(name)) return "standardises the model's input";
    if (this.norms.statistics.has(name)) return "statistics of a norm that is written out";
    const mask = maskOf(tensor);
    // zeros and ones that are added to what a product made are its bias
    const isBias = this.norms.affine.has(name) && uses.every(({ node }) => opOf(node).arithmetic === "add");
    if (mask && !(mask === "factor" && isBias)) return "a mask, by its values";
    if (this.isRegular(tensor, uses)) return "positions or frequencies, by its values";
    if (products.length) return undefined;
    const isJoined = uses.every(({ node }) => opOf(node).passes);
    return isJoined && !isModuleName && isUniform(tensor) ? "filling of one value" : undefined;
  }

  /**
   * Whether a tensor's values follow a formula. A vector that scales or shifts what a product or a norm made may be
   * filled with any numbers, and so may a table in which indices look up.
   */
  private isRegular(tensor: Held, uses: readonly Use[]): boolean {
    const isVector = tensor.shape.filter((size) => size > 1).length <= 1;
    const isAffine = this.norms.affine.has(tensor.name);
    const formula = formulaOf(tensor);
    if (formula === "wave") return !(isAffine && isVector);
    if (!formula || uses.some(({ node, slot }) => slot === 0 && !opOf(node).pointwise && !opOf(node).passes))
      return false;
    return !isAffine || formula === "grid" || !(isVector || isFilled(tensor));
  }

  /** Whether a tensor holds frequencies: a regular sequence that a product multiplies with positions. */
  private isFrequency(tensor: Held, uses: readonly Use[]): boolean {
    const meets = uses.every(
      ({ node, slot }) =>
        opOf(node).product && node.inputs.every((name, at) => at === slot || !name || !this.measured.has(name)),
    );
    return meets && formulaOf(tensor) !== undefined;
  }
}
