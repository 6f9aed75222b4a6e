import type { Builder } from "../build/build.js";
import { bytesPerElement, elementCount, type Graph, int, type Node, producers, type Tensor } from "../graph/graph.js";
import { addTo } from "../graph/lists.js";
import { reshape } from "../ops/shapes.js";

/** One parameter's share of a flat tensor. */
export interface Part {
  readonly tensor: string;
  /** Name of the parameter. */
  readonly parameter: string;
  /** Elements before it. */
  readonly offset: number;
  readonly shape: readonly number[];
}

const sameCuts = (a: readonly Part[], z: readonly Part[]): boolean =>
  a.length === z.length && a.every(({ offset }, i) => offset === z[i]?.offset);

const byOffset = (a: Part, z: Part): number => a.offset - z.offset;

/** Key of a place in the flat buffers: parameters of one element type share a buffer. */
const placeOf = ({ dtype }: Tensor, offset: number): string => `${dtype} ${offset}`;

/** Which parts each flat tensor of a training step consists of, and tensors of their own for them, made in `b`. */
export class FlatParts {
  /** Flat tensors that have been cut. */
  private readonly cut = new Map<string, Part[]>();
  /** Where in a flat buffer each tensor lies that nodes have written so far. */
  private readonly written = new Map<string, Map<number, Part>>();
  /** Tensors joined again, by the names of the parts. */
  private readonly joined = new Map<string, string>();
  /** The parameter at each place. */
  private readonly labels = new Map<string, string>();
  /** The flat buffers of parameters. */
  private readonly buffers: readonly string[];
  private readonly made: ReadonlyMap<string, number>;

  constructor(
    private readonly graph: Graph,
    private readonly b: Builder,
  ) {
    this.made = producers(graph);
    for (const tensor of graph.tensors.values()) if (tensor.within && !this.made.has(tensor.name)) this.label(tensor);
    for (const parts of this.cut.values()) parts.sort(byOffset);
    this.buffers = [...this.cut.keys()];
    for (const { name, category } of graph.tensors.values())
      if (category === "optimizer state") this.cutLike(name, this.cut.get(this.bufferOf(name) ?? "") ?? []);
  }

  /** The parts of a flat tensor, in order; undefined of a tensor that is none. */
  of(name: string): readonly Part[] | undefined {
    const places = this.written.get(name);
    return this.cut.get(name) ?? (places && [...places.values()].sort(byOffset));
  }

  /** Keeps the parts that stand for a tensor. */
  set(name: string, parts: readonly Part[]): void {
    this.cut.set(name, [...parts]);
  }

  /** Takes note of the parts of flat buffers that a node writes. */
  noteWritten(node: Node): void {
    for (const name of node.outputs) {
      const tensor = this.graph.tensors.get(name);
      // a node that reads the whole buffer writes a whole one
      if (!tensor?.within || node.inputs.includes(tensor.within.tensor)) continue;
      const places = this.written.get(tensor.within.tensor) ?? new Map<number, Part>();
      const part = this.partOf(tensor);
      this.written.set(tensor.within.tensor, places.set(part.offset, part));
    }
  }

  /** Whether a tensor has parts like these, or can be given them, which it then is: a resident of that size. */
  cutLike(name: string, like: readonly Part[]): boolean {
    const own = this.of(name);
    if (own) return sameCuts(own, like);
    const tensor = this.b.type(name);
    const count = like.reduce((sum, { shape }) => sum + elementCount(shape), 0);
    if (this.made.has(name) || tensor.shape.length !== 1 || tensor.shape[0] !== count) return false;
    this.cut.set(
      name,
      like.map((part): Part => ({ ...part, tensor: this.declarePart(tensor, part) })),
    );
    return true;
  }

  /** `parameters.velocity.next` of parameter `w` is `w.velocity.next`. */
  nameOf(whole: string, { parameter }: Part): string {
    const buffer = this.bufferOf(whole);
    return this.b.fresh(buffer ? parameter + whole.slice(buffer.length) : `${whole}/${parameter}`);
  }

  /** A tensor's parts as one tensor again, for a node that needs the whole. */
  join(name: string, parts: readonly Part[]): string {
    const key = parts.map(({ tensor }) => tensor).join("\0");
    const joined = this.joined.get(key) ?? this.concatenated(name, parts);
    this.joined.set(key, joined);
    return joined;
  }

  /** Slices of a tensor that is whole, shaped as these parts are. */
  slices(name: string, like: readonly Part[]): readonly Part[] {
    const { b } = this;
    return like.map((part): Part => {
      const end = part.offset + elementCount(part.shape);
      const bounds = [[part.offset], [end], [0]].map((list) => b.vector(list));
      const slice = b.op("Slice", [name, ...bounds]);
      const outputs = [this.nameOf(name, part)];
      const [tensor = ""] = b.add("Reshape", [slice, b.vector(part.shape)], {}, { outputs });
      return { ...part, tensor };
    });
  }

  /** A resident part of a flat buffer: a parameter. */
  private label(tensor: Tensor): void {
    const buffer = tensor.within?.tensor ?? "";
    const part = { ...this.partOf(tensor), parameter: tensor.name };
    this.labels.set(placeOf(tensor, part.offset), tensor.name);
    addTo(this.cut, buffer, part);
  }

  private partOf(tensor: Tensor): Part {
    const offset = (tensor.within?.offsetBytes ?? 0) / bytesPerElement(tensor.dtype);
    const parameter = this.labels.get(placeOf(tensor, offset)) ?? tensor.name;
    return { tensor: tensor.name, parameter, offset, shape: tensor.shape };
  }

  /** The flat buffer of parameters that a flat tensor is named after. */
  private bufferOf(whole: string): string | undefined {
    return this.buffers.filter((name) => whole.startsWith(`${name}.`)).sort((a, z) => z.length - a.length)[0];
  }

  /** A part of a flat resident as a resident of its own. */
  private declarePart({ name, dtype, category, data: whole }: Tensor, part: Part): string {
    const size = bytesPerElement(dtype);
    const begin = part.offset * size;
    const data = whole?.subarray(begin, begin + elementCount(part.shape) * size);
    return this.b.declare({
      name: this.nameOf(name, part),
      dtype,
      category,
      shape: part.shape,
      data,
    });
  }

  private concatenated(name: string, parts: readonly Part[]): string {
    const { b } = this;
    const vectors = parts.map(({ tensor, shape }) =>
      shape.length === 1 ? tensor : reshape(b, tensor, [elementCount(shape)]),
    );
    return b.op("Concat", vectors, { axis: int(0) }, { name: `${name}/Concat` });
  }
}
