import { int, type Tensor } from "../graph/graph.js";
import { bytesOf } from "../graph/values.js";
import type { Initializer, Model, ModelNode } from "./model.js";

/** What is known when a node is to be replaced by others. */
export interface Knowledge {
  readonly model: Model;
  /** The values of a tensor that does not depend on data or parameters; undefined of any other. */
  value(name: string): readonly number[] | undefined;
  /** Element type and shape of a tensor that the node's kind asked for. */
  type(name: string): Tensor | undefined;
  /** The tensors of each sequence that is known, in order, by the sequence's name. */
  readonly sequences: ReadonlyMap<string, readonly string[]>;
  /** A prefix that no name of the model has: the one wished for, or one like it. */
  freeScope(wish: string): string;
  /** Whether trips may be written out before it is known that they run. */
  readonly mayGuess: boolean;
}

/** What takes a node's place. */
export interface Expansion {
  readonly nodes: readonly ModelNode[];
  readonly initializers?: ReadonlyMap<string, Initializer>;
  readonly unreadable?: ReadonlyMap<string, Error>;
  /** Whether it holds trips that may not run. */
  readonly isGuess?: boolean;
  /** Sequences that are known from now on. */
  readonly sequences?: ReadonlyMap<string, readonly string[]>;
}

/** A kind of node that is replaced while a model is read: what it does is decided by shapes and constants. */
export interface Decided {
  /** Tensors whose values or types are needed first. */
  readonly needs: (node: ModelNode) => readonly string[];
  /** Sequences that it reads. */
  readonly sequences?: (node: ModelNode) => readonly string[];
  /** What replaces it; undefined while a sequence that it reads is not known. */
  readonly expand: (node: ModelNode, known: Knowledge) => Expansion | undefined;
}

/** Writes nodes of the standard domain, in the form of the model's opset, and the constants that they need. */
export class Writer {
  readonly nodes: ModelNode[] = [];
  readonly initializers = new Map<string, Initializer>();

  constructor(
    private readonly opset: number,
    private readonly node: ModelNode,
    private readonly scope: string,
  ) {}

  private add(
    op: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes: ModelNode["attributes"] = {},
  ) {
    const { scope } = this.node;
    const name = `${this.scope}${op}_${this.nodes.length}`;
    this.nodes.push({ name, domain: "", op, inputs, outputs, attributes, ...(scope ? { scope } : {}) });
  }

  private fresh(): string {
    return `${this.scope}value_${this.nodes.length}`;
  }

  /** A constant: a vector, or a number of rank 0. */
  constant(value: number | readonly number[], dtype: "int64" | "bool" = "int64"): string {
    const list = typeof value === "number" ? [value] : value;
    const name = `${this.scope}const_${this.initializers.size}`;
    this.initializers.set(name, {
      dtype,
      shape: typeof value === "number" ? [] : [list.length],
      data: bytesOf(dtype, list),
    });
    return name;
  }

  /** The same tensor under another name. */
  identity(from: string, to: string): void {
    this.add("Identity", [from], [to]);
  }

  /** Axes are attributes before opset 13, inputs from then on. */
  private withList(
    op: string,
    x: string,
    list: readonly number[],
    outputs: readonly string[],
    key: string,
    rest = {},
  ): void {
    if (this.opset >= 13) this.add(op, [x, this.constant(list)], outputs, rest);
    else this.add(op, [x], outputs, { ...rest, [key]: { type: "ints", value: list } });
  }

  /** Pieces of those sizes along an axis, which they keep or, of size 1 each, lose. */
  pieces(x: string, axis: number, sizes: readonly number[], keep: boolean): string[] {
    const first = this.fresh();
    const names = sizes.map((_, i) => `${first}_${i}`);
    if (sizes.length === 0) return [];
    if (sizes.length === 1) this.identity(x, names[0] as string);
    else this.withList("Split", x, sizes, names, "split", { axis: int(axis) });
    if (keep) return names;
    return names.map((name) => {
      const squeezed = this.fresh();
      this.withList("Squeeze", name, [axis], [squeezed], "axes");
      return squeezed;
    });
  }

  /** Tensors put together along an axis that they have, or along a new one. */
  joined(names: readonly string[], axis: number, isNew: boolean, to: string): void {
    const parts = names.map((name) => {
      if (!isNew) return name;
      const wide = this.fresh();
      this.withList("Unsqueeze", name, [axis], [wide], "axes");
      return wide;
    });
    this.add("Concat", parts, [to], { axis: int(axis) });
  }
}
