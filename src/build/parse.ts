import { NodeError } from "../graph/errors.js";
import {
  type Attribute,
  type Category,
  categories,
  type DType,
  dtypes,
  elementCount,
  type Graph,
  type Node,
  type Phase,
  phases,
  type Tensor,
  type TensorType,
  tensorBytes,
} from "../graph/graph.js";
import { bytesOf } from "../graph/values.js";
import { Builder } from "./build.js";
import { type Token, tokens } from "./tokens.js";

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
  return new GraphParser(tokens(text)).graph();
}

const dtypeNames: ReadonlySet<string> = new Set(dtypes);

const categoryNames: ReadonlySet<string> = new Set(categories);

class GraphParser {
  private at = 0;
  private readonly b = new Builder();
  private readonly nodeNames = new Set<string>();

  constructor(private readonly tokens: readonly Token[]) {}

  private peek(ahead = 0): Token {
    return this.tokens[Math.min(this.at + ahead, this.tokens.length - 1)] as Token;
  }

  private next(): Token {
    const token = this.peek();
    this.at++;
    return token;
  }

  /** Takes the next token if it is this one. */
  private take(text: string): boolean {
    if (this.peek().text !== text) return false;
    this.at++;
    return true;
  }

  private fail(wanted: string, token = this.peek()): never {
    throw new Error(`expected ${wanted}, found ${token.text} (line ${token.line})`);
  }

  private expect(text: string): void {
    if (!this.take(text)) this.fail(text);
  }

  /** Items between two signs, separated by commas. */
  private list<T>(open: string, close: string, item: () => T): T[] {
    this.expect(open);
    const items: T[] = [];
    while (!this.take(close)) {
      items.push(item());
      if (!this.take(",") && this.peek().text !== close) this.fail(`, or ${close}`);
    }
    return items;
  }

  private name(): string {
    const token = this.next();
    if (token.kind === "word") return token.text;
    if (token.kind !== "string") return this.fail("a name", token);
    try {
      return JSON.parse(token.text) as string;
    } catch {
      return this.fail("a name", token);
    }
  }

  private number(): string {
    const token = this.next();
    if (token.kind !== "number" && token.text !== "inf" && token.text !== "nan") this.fail("a number", token);
    return token.text;
  }

  private count(): number {
    const token = this.peek();
    const value = Number(this.number());
    return Number.isSafeInteger(value) && value >= 0 ? value : this.fail("a size", token);
  }

  /** Whether a tensor's name follows, not a category or type before one. */
  private startsName(): boolean {
    const after = this.peek(1);
    const isPlaced = after.text === "within" || (after.text === "on" && this.peek(2).text === "host");
    return this.peek().kind !== "word" || after.kind === "sign" || isPlaced;
  }

  private category(): Category | undefined {
    const [first, second] = [this.peek(), this.peek(1)];
    if (first.text === "optimizer" && second.text === "state") {
      this.at += 2;
      return "optimizer state";
    }
    if (!categoryNames.has(first.text) || this.startsName()) return undefined;
    this.at++;
    return first.text as Category;
  }

  private startsType(): boolean {
    return dtypeNames.has(this.peek().text) && this.peek(1).text === "[";
  }

  private type(): TensorType {
    if (!this.startsType()) this.fail("a type");
    return { dtype: this.next().text as DType, shape: this.list("[", "]", () => this.count()) };
  }

  /** The data in braces; undefined if they were left out when the text was written. */
  private data(type: TensorType): Uint8Array | undefined {
    const { line } = this.peek();
    if (this.peek(1).text === "...") {
      this.at += 2;
      this.expect("}");
      return undefined;
    }
    const written = this.list("{", "}", () => this.number());
    const count = elementCount(type.shape);
    if (written.length !== count && written.length !== 1)
      throw new Error(`shape mismatch: ${written.length} values for ${type.dtype}[${type.shape}] (line ${line})`);
    const list = written.length === count ? written : new Array<string>(count).fill(written[0] as string);
    const whole = type.dtype === "int64" ? BigInt64Array : type.dtype === "uint64" ? BigUint64Array : undefined;
    if (!whole) return bytesOf(type.dtype, list.map(numberOf));
    if (!list.every((x) => /^[-+]?\d+$/.test(x))) throw new Error(`not an integer: ${list} (line ${line})`);
    return new Uint8Array(whole.from(list.map((x) => BigInt(x.replace("+", "")))).buffer);
  }

  private attribute(): Attribute {
    const token = this.peek();
    if (token.kind === "string") return { type: "string", value: this.name() };
    if (this.startsType()) {
      const type = this.type();
      const data = this.data(type);
      return data ? { type: "tensor", value: { ...type, data } } : this.fail("data", token);
    }
    const empty = this.take("floats") ? "floats" : this.take("strings") ? "strings" : "ints";
    if (this.peek().text !== "[") {
      const number = this.number();
      return isInt(number) ? { type: "int", value: Number(number) } : { type: "float", value: numberOf(number) };
    }
    if (this.peek(1).kind === "string") return { type: "strings", value: this.list("[", "]", () => this.name()) };
    const numbers = this.list("[", "]", () => this.number());
    if (numbers.length === 0) return { type: empty, value: [] };
    const value = numbers.map(numberOf);
    return empty === "ints" && numbers.every(isInt) ? { type: "ints", value } : { type: "floats", value };
  }

  private place(): Pick<Tensor, "within" | "host" | "range"> {
    const within = this.take("within") ? { tensor: this.name(), offsetBytes: this.count() } : undefined;
    const isHost = this.take("on");
    if (isHost) this.expect("host");
    const range = this.take("range") ? this.list("[", "]", () => numberOf(this.number())) : undefined;
    if (range && range.length !== 2) this.fail("two numbers");
    return {
      ...(within ? { within } : {}),
      ...(isHost ? { host: true } : {}),
      ...(range ? { range: [range[0] as number, range[1] as number] } : {}),
    };
  }

  private resident(): string | undefined {
    const { line } = this.peek();
    const category = this.category() ?? "input";
    const type = this.type();
    const name = this.name();
    const tensor: Tensor = { name, ...type, category, ...this.place() };
    const data = this.take("=") ? this.data(type) : undefined;
    if (category === "constant" && !data) throw new Error(`constant without data: ${name} (line ${line})`);
    this.b.declare(data ? { ...tensor, data } : tensor);
    return category === "input" ? name : undefined;
  }

  private output(): { name: string; line: number; type?: TensorType } & Partial<Tensor> {
    const { line } = this.peek();
    if (this.take("_")) return { name: "", line };
    const category = this.category();
    const type = this.startsType() ? this.type() : undefined;
    return { line, ...(category && { category }), ...(type && { type }), name: this.name(), ...this.place() };
  }

  private input(): string {
    if (this.take("_")) return "";
    if (!this.startsType()) return this.name();
    const token = this.peek();
    const type = this.type();
    const data = this.data(type) ?? this.fail("data", token);
    const name = this.b.fresh(`const.${type.dtype}.${this.b.tensors.size}`);
    return this.b.declare({ name, ...type, category: "constant", data });
  }

  private node(): void {
    const { line } = this.peek();
    let name = this.take("[") ? this.name() : undefined;
    if (name !== undefined) this.expect("]");
    const outputs = [this.output()];
    while (this.take(",")) outputs.push(this.output());
    this.expect("=");
    const [, domain = "", op = ""] = /^(?:(.*)\.)?([^.]*)$/s.exec(this.name()) ?? [];
    const settings = this.peek().text === "<" ? this.list("<", ">", () => this.setting()) : [];
    const inputs = this.list("(", ")", () => this.input());
    name ??= outputs.find((output) => output.name)?.name ?? this.fail("an output");
    if (this.nodeNames.has(name)) throw new Error(`duplicate node: ${name} (line ${line})`);
    this.nodeNames.add(name);
    const { phase } = this.b;
    const attributes = Object.fromEntries(settings);
    const node: Node = { name, domain, op, inputs, outputs: outputs.map((o) => o.name), attributes, phase };
    const types = this.b.infer(node);
    outputs.forEach(({ type: written, line: at, ...output }, i) => {
      if (!output.name) return;
      const type = types[i];
      if (!type) throw new NodeError(`${op} has no output ${i}`, { name });
      const shown = `${type.dtype}[${type.shape}]`;
      if (written && `${written.dtype}[${written.shape}]` !== shown)
        throw new Error(
          `shape mismatch: ${output.name} is ${shown}, not ${written.dtype}[${written.shape}] (line ${at})`,
        );
      this.b.declare({ category: madeCategory[phase], ...output, dtype: type.dtype, shape: type.shape });
    });
    this.b.append(node);
  }

  private setting(): [string, Attribute] {
    const key = this.name();
    this.expect("=");
    return [key, this.attribute()];
  }

  graph(): Graph {
    this.expect("graph");
    const name = this.peek().text === "(" ? "graph" : this.name();
    const inputs = this.list("(", ")", () => this.resident()).filter((input) => input !== undefined);
    this.expect("=>");
    const outputs = this.list("(", ")", () => this.name());
    const state: { before: string; after: string }[] = [];
    let loss: string | undefined;
    this.expect("{");
    while (!this.take("}")) {
      const [first, second] = [this.peek(), this.peek(1)];
      const phase = phases.find((known) => known === first.text);
      if (phase && second.text === ":") {
        this.at += 2;
        this.b.phase = phase;
      } else if (first.text === "state" && !this.startsName()) {
        this.at++;
        const before = this.name();
        this.expect("->");
        state.push({ before, after: this.name() });
      } else if (first.text === "loss" && !this.startsName()) {
        this.at++;
        loss = this.name();
      } else this.node();
    }
    if (this.peek().kind !== "end") this.fail("end of text");
    for (const used of [...outputs, ...state.flatMap(({ before, after }) => [before, after]), ...(loss ? [loss] : [])])
      this.b.type(used);
    for (const tensor of this.b.tensors.values()) checkPlace(tensor, this.b);
    const { nodes, tensors } = this.b;
    return { name, nodes, tensors, inputs, outputs, state, ...(loss === undefined ? {} : { loss }) };
  }
}

function checkPlace(tensor: Tensor, b: Builder): void {
  if (!tensor.within) return;
  const end = tensor.within.offsetBytes + tensorBytes(tensor);
  if (end > tensorBytes(b.type(tensor.within.tensor)))
    throw new Error(`tensor ${tensor.name} ends at byte ${end}, outside of ${tensor.within.tensor}`);
}

const isInt = (text: string): boolean => /^[-+]?\d+$/.test(text);

const numberOf = (text: string): number => Number(text.replace("inf", "Infinity").replace("nan", "NaN"));
