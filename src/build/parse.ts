import { NodeError } from "../graph/errors.js";
import {
  type Attribute,
  type Category,
  type Graph,
  type Node,
  type Phase,
  phases,
  type Tensor,
  type TensorType,
  tensorBytes,
} from "../graph/graph.js";
import { Builder } from "./build.js";
import { readAttribute, readCategory, readData, readPlace, readType, startsType } from "./literals.js";
import { Reader } from "./reader.js";

/** Category of a tensor that a node of the phase makes, where the text names none. */
export const madeCategory: Readonly<Record<Phase, Category>> = {
  forward: "activation",
  loss: "activation",
  backward: "temporary",
  update: "temporary",
};

/**
 * Reads a graph from text, every output's type inferred and checked as in `Builder.add`:
 *
 *     graph name(float32[32,784] x, parameter float32[784,10] w, constant int64[2] s = {1,-1}) => (loss) {
 *       h = MatMul(x, w)
 *       [relu_1] y = Relu(h)              # a node is named like its first output unless the text names it
 *       y2, _ = mutwo.Op<axis=1, eps=1e-5, pads=[0,1], mode="x">(y, _, float32[2]{1,2})
 *     loss: …  backward: …  update: …     # phases
 *       gradient float32[784,10] dw within flat+0 = MatMul(xt, dh)
 *       out on host = mutwo.SwapOut(y)    # a tensor in host memory
 *       state w -> w2
 *       loss loss
 *     }
 *
 * A resident without category is an input; a made tensor without one is an activation (forward, loss) or temporary. One
 * number stands for all elements. `int64[32] labels range [0,10]` limits seeded values. Names that are no plain words are
 * quoted. Throws one line with the line number.
 */
export function parseGraph(text: string): Graph {
  return new GraphParser(new Reader(text)).graph();
}

/** An output as written: its type is inferred, and only checked where one is given. */
type Output = { readonly name: string; readonly line: number; readonly type?: TensorType } & Partial<Tensor>;

class GraphParser {
  private readonly b = new Builder();
  private readonly nodeNames = new Set<string>();

  constructor(private readonly reader: Reader) {}

  graph(): Graph {
    const { reader, b } = this;
    reader.expect("graph");
    const name = reader.peek().text === "(" ? "graph" : reader.name();
    const inputs = reader.list("(", ")", () => this.resident()).filter((input) => input !== undefined);
    reader.expect("=>");
    const outputs = reader.list("(", ")", () => reader.name());
    const state: { before: string; after: string }[] = [];
    let loss: string | undefined;
    reader.expect("{");
    while (!reader.take("}")) {
      const { text } = reader.peek();
      const phase = phases.find((known) => known === text);
      if (phase && reader.take(phase, ":")) b.phase = phase;
      else if (text === "state" && !reader.startsName()) {
        reader.next();
        const before = reader.name();
        reader.expect("->");
        state.push({ before, after: reader.name() });
      } else if (text === "loss" && !reader.startsName()) {
        reader.next();
        loss = reader.name();
      } else this.node();
    }
    if (reader.peek().kind !== "end") reader.fail("end of text");
    for (const used of [...outputs, ...state.flatMap(({ before, after }) => [before, after]), ...(loss ? [loss] : [])])
      b.type(used);
    for (const tensor of b.tensors.values()) checkPlace(tensor, b);
    const { nodes, tensors } = b;
    return { name, nodes, tensors, inputs, outputs, state, ...(loss === undefined ? {} : { loss }) };
  }

  /** A tensor that no node makes; answers its name if it is an input. */
  private resident(): string | undefined {
    const { reader, b } = this;
    const { line } = reader.peek();
    const category = readCategory(reader) ?? "input";
    const type = readType(reader);
    const name = reader.name();
    const tensor: Tensor = { name, ...type, category, ...readPlace(reader) };
    const data = reader.take("=") ? readData(reader, type) : undefined;
    if (category === "constant" && !data) throw new Error(`constant without data: ${name} (line ${line})`);
    b.declare(data ? { ...tensor, data } : tensor);
    return category === "input" ? name : undefined;
  }

  private node(): void {
    const { reader, b } = this;
    const { line } = reader.peek();
    let name = reader.take("[") ? reader.name() : undefined;
    if (name !== undefined) reader.expect("]");
    const outputs = [this.output()];
    while (reader.take(",")) outputs.push(this.output());
    reader.expect("=");
    const [, domain = "", op = ""] = /^(?:(.*)\.)?([^.]*)$/s.exec(reader.name()) ?? [];
    const settings = reader.peek().text === "<" ? reader.list("<", ">", () => this.setting()) : [];
    const inputs = reader.list("(", ")", () => this.input());
    name ??= outputs.find((output) => output.name)?.name ?? reader.fail("an output");
    if (this.nodeNames.has(name)) throw new Error(`duplicate node: ${name} (line ${line})`);
    this.nodeNames.add(name);
    const attributes = Object.fromEntries(settings);
    const node = { name, domain, op, inputs, outputs: outputs.map((o) => o.name), attributes, phase: b.phase };
    this.declare(node, outputs);
    b.append(node);
  }

  private output(): Output {
    const { reader } = this;
    const { line } = reader.peek();
    if (reader.take("_")) return { name: "", line };
    const category = readCategory(reader);
    const type = startsType(reader) ? readType(reader) : undefined;
    return { line, ...(category && { category }), ...(type && { type }), name: reader.name(), ...readPlace(reader) };
  }

  private setting(): [string, Attribute] {
    const key = this.reader.name();
    this.reader.expect("=");
    return [key, readAttribute(this.reader)];
  }

  /** Name of an input; one that is written out becomes a constant. */
  private input(): string {
    const { reader, b } = this;
    if (reader.take("_")) return "";
    if (!startsType(reader)) return reader.name();
    const token = reader.peek();
    const type = readType(reader);
    const data = readData(reader, type) ?? reader.fail("data", token);
    const name = b.fresh(`const.${type.dtype}.${b.tensors.size}`);
    return b.declare({ name, ...type, category: "constant", data });
  }

  /** Declares a node's outputs with the types that its op infers. Throws where the text says another type. */
  private declare(node: Node, outputs: readonly Output[]): void {
    const types = this.b.infer(node);
    outputs.forEach(({ type: written, line, ...output }, i) => {
      if (!output.name) return;
      const type = types[i];
      if (!type) throw new NodeError(`${node.op} has no output ${i}`, node);
      const [shown, wanted] = [type, written].map((t) => t && `${t.dtype}[${t.shape}]`);
      if (wanted && wanted !== shown)
        throw new Error(`shape mismatch: ${output.name} is ${shown}, not ${wanted} (line ${line})`);
      this.b.declare({ category: madeCategory[node.phase], ...output, dtype: type.dtype, shape: type.shape });
    });
  }
}

function checkPlace(tensor: Tensor, b: Builder): void {
  if (!tensor.within) return;
  const end = tensor.within.offsetBytes + tensorBytes(tensor);
  if (end > tensorBytes(b.type(tensor.within.tensor)))
    throw new Error(`tensor ${tensor.name} ends at byte ${end}, outside of ${tensor.within.tensor}`);
}
