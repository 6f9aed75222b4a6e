import type { Builder } from "../build/build.js";
import { elementCount, int, ints, type Tensor, type TensorType } from "../graph/graph.js";
import { valuesOf } from "../graph/values.js";
import type { ModelAxis } from "../ops/op.js";
import { oneAfterAnother, withModels } from "../ops/over-models.js";
import { expandTo, reshape, sameShape } from "../ops/shapes.js";

/** Most elements of a constant that is there once for each model; larger ones are repeated by a node. */
const mostRepeated = 2 ** 14;

/** What is known of a tensor of one model for all of them. */
interface Held {
  /** Type for one model. */
  readonly type: TensorType;
  /** Name of the one tensor that all models have. */
  readonly common?: string;
  /** Each model's own tensor. */
  each?: readonly string[];
  /** Names with the models before an axis, under any shape that keeps the order of the elements. */
  readonly joint: Map<ModelAxis, string>;
  /** Each model's tensor that no node makes, until it is known in which shape they are wanted as one. */
  readonly residents?: readonly Tensor[];
}

/** A tensor of all models, with them before an axis, or of one of them. */
type Form = { readonly name: string } & ({ readonly at: ModelAxis } | { readonly model: number });

/**
 * The tensors of several models of one architecture, by the names in the first model: as one tensor that all have, as one
 * with a model axis, or each by itself. What is asked for in another form than it has is brought into it, once.
 */
export class ModelValues {
  private readonly held = new Map<string, Held>();
  /** Tensors under other shapes. */
  private readonly shaped = new Map<string, string>();

  constructor(
    private readonly b: Builder,
    private readonly models: number,
  ) {}

  has(name: string): boolean {
    return this.held.has(name);
  }

  /** Type of a tensor for one model. */
  type(name: string): TensorType {
    return this.of(name).type;
  }

  /** All models have one tensor. */
  holdCommon(name: string, type: TensorType, common: string): void {
    this.held.set(name, { type, common, joint: new Map() });
  }

  /** The models' tensors stand in one before an axis. Throws if the number of elements is not that of all models. */
  holdJoint(name: string, type: TensorType, joint: string, at: ModelAxis): void {
    const { shape } = this.b.type(joint);
    if (at === 1 && type.shape.length === 1) {
      const turned = this.b.op("Transpose", [this.under(joint, [...type.shape, this.models])], { perm: ints([1, 0]) });
      this.holdJoint(name, type, turned, 0);
      return;
    }
    if (elementCount(shape) !== elementCount(type.shape) * this.models)
      throw new Error(`shape mismatch: [${shape}] for ${name} [${type.shape}] of ${this.models} models`);
    this.held.set(name, { type, joint: new Map([[at, joint]]) });
  }

  /** Each model has its own. */
  holdEach(name: string, type: TensorType, each: readonly string[]): void {
    this.held.set(name, { type, each, joint: new Map() });
  }

  /** Tensors of the models that no node makes: declared as one when they are first asked for. */
  holdResidents(name: string, residents: readonly Tensor[]): void {
    const { dtype, shape } = residents[0] as Tensor;
    this.held.set(name, { type: { dtype, shape }, residents, joint: new Map() });
  }

  /** Where the models of a tensor stand; undefined: all have the one tensor. */
  at(name: string): ModelAxis | undefined {
    const { common, joint } = this.of(name);
    if (common !== undefined) return undefined;
    return joint.has(1) && !joint.has(0) ? 1 : 0;
  }

  /** Whether nodes have made each model's tensor by itself, and not yet one of all. */
  isApart(name: string): boolean {
    const { each, joint, residents } = this.of(name);
    return each !== undefined && joint.size === 0 && !residents;
  }

  /** Whether no node makes it. */
  isResident(name: string): boolean {
    return this.of(name).residents !== undefined;
  }

  /** Name of the one tensor that all models have. Throws if each has its own. */
  common(name: string): string {
    const { common } = this.of(name);
    if (common === undefined) throw new Error(`not the same for all models: ${name}`);
    return common;
  }

  /** Name of a tensor with the models before an axis, in a shape that keeps the order of its elements. */
  joint(name: string, at: ModelAxis, shape?: readonly number[]): string {
    const held = this.of(name);
    const wanted = shape ?? withModels(held.type.shape, this.models, at);
    if (held.residents && !held.joint.size) {
      const isInOrder = at === 0 || held.type.shape[0] === 1;
      this.declare(held, isInOrder ? wanted : withModels(held.type.shape, this.models, 0));
    }
    return this.under(this.before(held, at), wanted);
  }

  /** Names of each model's tensor. */
  each(name: string): readonly string[] {
    const held = this.of(name);
    held.each ??= this.parted(held);
    return held.each;
  }

  /** Name of what was declared for tensors that no node makes; undefined if nothing reads them. */
  declared(name: string): string | undefined {
    return this.held.get(name)?.joint.get(0);
  }

  /** Takes over a tensor from other values, whose names may have become others. */
  holdAs(name: string, other: ModelValues, nameOf: (name: string) => string): void {
    const { each, joint, type, common } = other.of(name);
    this.held.set(name, {
      type,
      ...(common !== undefined && { common: nameOf(common) }),
      ...(each && { each: each.map(nameOf) }),
      joint: new Map([...joint].map(([at, own]) => [at, nameOf(own)])),
    });
  }

  /** The forms in which a tensor is there now: with the models before an axis, or each model's own. */
  forms(name: string): readonly Form[] {
    const { each, joint } = this.of(name);
    const [first] = joint;
    if (first) return [{ at: first[0], name: first[1] }];
    return (each ?? []).map((own, model) => ({ model, name: own }));
  }

  /** The name in each form, with that of another tensor of the same type in it. */
  inForms(forms: readonly Form[], other: string): (readonly [name: string, other: string])[] {
    return forms.map((form) => [
      form.name,
      "at" in form
        ? this.joint(other, form.at, this.b.type(form.name).shape)
        : (this.each(other)[form.model] as string),
    ]);
  }

  private of(name: string): Held {
    const held = this.held.get(name);
    if (!held) throw new Error(`unknown tensor: ${name}`);
    return held;
  }

  private declare(held: Held, shape: readonly number[]): void {
    const residents = held.residents as readonly Tensor[];
    const { data, ...first } = residents[0] as Tensor;
    // constants alone have values of their own: those of others are written when the step is loaded
    const isConstant = first.category === "constant";
    const bytes = isConstant ? Buffer.concat(residents.map((tensor) => tensor.data as Uint8Array)) : undefined;
    const name = this.b.tensors.has(first.name) || isConstant ? this.b.fresh(first.name) : first.name;
    held.joint.set(0, this.b.declare({ ...first, name, shape, ...(bytes && { data: new Uint8Array(bytes) }) }));
  }

  private under(name: string, shape: readonly number[]): string {
    if (sameShape(this.b.type(name).shape, shape)) return name;
    const key = `[${shape}] ${name}`;
    const known = this.shaped.get(key) ?? reshape(this.b, name, shape);
    this.shaped.set(key, known);
    return known;
  }

  /** Name of a tensor with the models before an axis, in any shape. */
  private before(held: Held, at: ModelAxis): string {
    const { joint, type } = held;
    const other: ModelAxis = at ? 0 : 1;
    const known = joint.get(at) ?? (type.shape[0] === 1 ? joint.get(other) : undefined);
    if (known !== undefined) return known;
    const made = this.brought(held, at, joint.get(other));
    joint.set(at, made);
    return made;
  }

  private brought(held: Held, at: ModelAxis, other: string | undefined): string {
    const { b, models } = this;
    const { shape } = held.type;
    if (other !== undefined) {
      const from = this.under(other, withModels(shape, models, at ? 0 : 1));
      const rest = shape.slice(1).map((_, i) => i + 2);
      return b.op("Transpose", [from], { perm: ints([1, 0, ...rest]) });
    }
    const { common } = held;
    if (common !== undefined)
      return (
        this.repeated(common, shape, at) ??
        expandTo(b, reshape(b, common, withModels(shape, 1, at)), withModels(shape, models, at))
      );
    const each = held.each as readonly string[];
    // channels one after another need no axis of their own
    const parts = at === 1 && shape.length > 1 ? each : each.map((name) => reshape(b, name, withModels(shape, 1, at)));
    return b.op("Concat", parts, { axis: int(at) });
  }

  /** A small constant once for each model, which no node need make; undefined for what is no such. */
  private repeated(name: string, shape: readonly number[], at: ModelAxis): string | undefined {
    const { b, models } = this;
    const { dtype, category, data } = b.type(name);
    const count = elementCount(shape);
    if (category !== "constant" || !data || count * models > mostRepeated) return undefined;
    const own = valuesOf(dtype, data);
    const outer = at ? (shape[0] as number) : 1;
    const inner = count / outer;
    const runs = Array.from({ length: outer }, (_, i) => own.slice(i * inner, (i + 1) * inner));
    const values = runs.flatMap((run) => Array.from({ length: models }, () => run).flat());
    return b.constant(dtype, withModels(shape, models, at), values);
  }

  private parted(held: Held): readonly string[] {
    const { b, models } = this;
    const { shape } = held.type;
    if (held.common !== undefined) return new Array<string>(models).fill(held.common);
    if (held.residents && !held.joint.size)
      this.declare(held, shape.length ? oneAfterAnother(shape, models, 0) : [models]);
    const all = Array.from({ length: models }, (_, i) => i);
    const first = held.joint.get(0);
    if (first === undefined && shape.length > 1) {
      const whole = this.under(held.joint.get(1) as string, oneAfterAnother(shape, models, 1));
      const sizes = b.vector(all.map(() => shape[1] as number));
      return b.add("Split", [whole, sizes], { axis: int(1) }, { count: models });
    }
    const [rows = 1, ...row] = shape;
    const whole = this.under(this.before(held, 0), [models * rows, ...row]);
    return all.map((i) => {
      const attributes = { start: int(i * rows), count: int(rows) };
      return reshape(b, b.op("Rows", [whole], attributes, { domain: "mutwo" }), shape);
    });
  }
}
