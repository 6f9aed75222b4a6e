import { elementCount } from "../graph/graph.js";
import { addTo } from "../graph/lists.js";
import { numbersIn } from "../graph/values.js";
import { opOf } from "../ops/index.js";
import type { Held } from "./held.js";
import type { Model, ModelNode } from "./model.js";

/** Whether output 0 has the elements of input 0, the only one that is no setting: under another name, shape or type. */
export function handsOn(node: ModelNode): boolean {
  const { alias, view, passes, hostInputs } = opOf(node);
  const data = node.inputs.filter((name, slot) => name && !hostInputs.includes(slot));
  return Boolean(alias || view || passes) && data.length === 1 && data[0] === node.inputs[0];
}

/**
 * How a tensor of weights stands in an expression of weights alone: "plain" (with single numbers added or multiplied),
 * "over" (one divided by that), "root" and "inverse" (its square root, and one divided by that), "scaled" (times the
 * inverse of another).
 */
type Form = "plain" | "over" | "root" | "inverse" | "scaled";

interface Term {
  readonly weight: string;
  readonly form: Form;
  readonly negative: boolean;
}

/** One place where a tensor of weights meets data: a norm's statistic, the scale or shift of a norm or product, or neither. */
interface End {
  kind: "statistic" | "affine" | "other";
}

/** What was done to data since something was subtracted from it: tensors that divided or multiplied it, in order. */
interface Chain {
  readonly mean: readonly End[];
  readonly factors: readonly { readonly ends: readonly End[]; readonly divides: boolean }[];
}

/** What a graph says of norms that are written out in arithmetic. */
export interface WrittenNorms {
  /** Tensors that are a norm's mean, variance or deviation, and nothing else. */
  readonly statistics: ReadonlySet<string>;
  /** Tensors that scale or shift what a norm or a product made. */
  readonly affine: ReadonlySet<string>;
}

const reciprocals: Readonly<Partial<Record<Form, Form>>> = {
  plain: "over",
  over: "plain",
  root: "inverse",
  inverse: "root",
  scaled: "scaled",
};

const roots: Readonly<Partial<Record<Form, Form>>> = { plain: "root", over: "inverse" };

/** The terms with their forms changed; undefined if one has a form that none comes from. */
function through(terms: readonly Term[], forms: Readonly<Partial<Record<Form, Form>>>): Term[] | undefined {
  const found = terms.flatMap(({ form, ...rest }): Term[] => {
    const to = forms[form];
    return to ? [{ ...rest, form: to }] : [];
  });
  return found.length === terms.length ? found : undefined;
}

const has = (terms: readonly Term[], form: Form): boolean => terms.some((term) => term.form === form);

/** What becomes of terms beside a factor. */
const beside = (factor: readonly Term[], terms: readonly Term[]): Term[] =>
  terms.map((term) => (has(factor, "inverse") && term.form === "plain" ? { ...term, form: "scaled" } : term));

const negated = (terms: readonly Term[]): Term[] => terms.map((term) => ({ ...term, negative: !term.negative }));

/**
 * Finds norms that are written as arithmetic, (x − mean) / √(variance + ε) · scale + shift in any order and however much
 * of it is folded. A variance is what goes through a root into a divisor, element by element; a mean is what is
 * subtracted before that, or is a part of the shift times the inverse root. Where the root is folded, a mean is what is
 * subtracted before both a factor and a summand (which can do the same), and a deviation what divides between them, or
 * the first of two factors.
 *
 * `others` are tensors without values that may be weights.
 */
export function writtenNorms(
  { nodes }: Pick<Model, "nodes">,
  held: readonly Held[],
  others: readonly string[] = [],
): WrittenNorms {
  const walk = new Walk(nodes, held, others);
  for (const node of nodes) walk.visit(node);
  const of = (test: (ends: readonly End[]) => boolean): Set<string> =>
    new Set([...walk.ends].flatMap(([name, ends]) => (test(ends) ? [name] : [])));
  return {
    statistics: of((ends) => ends.every(({ kind }) => kind === "statistic")),
    affine: of((ends) => ends.some(({ kind }) => kind === "affine")),
  };
}

class Walk {
  readonly ends = new Map<string, End[]>();
  /** Tensors of single numbers, and the numbers of those that the file holds. */
  private readonly singles = new Map<string, number | undefined>();
  /** Expressions of weights and single numbers alone. */
  private readonly terms = new Map<string, readonly Term[]>();
  private readonly chains = new Map<string, Chain>();
  /** Data that a norm or a product made, also behind a scale or shift. */
  private readonly made = new Set<string>();
  /** Data behind a root, and one divided by it. */
  private readonly rooted = new Map<string, "root" | "inverse">();
  private readonly readers = new Map<string, number>();

  constructor(nodes: readonly ModelNode[], held: readonly Held[], others: readonly string[]) {
    const plain = (weight: string): Term[] => [{ weight, form: "plain", negative: false }];
    for (const { name, shape, dtype, data } of held)
      if (elementCount(shape) === 1) this.singles.set(name, numbersIn(dtype, data)[0]);
      else this.terms.set(name, plain(name));
    for (const name of others) this.terms.set(name, plain(name));
    for (const { inputs } of nodes)
      for (const name of inputs) this.readers.set(name, (this.readers.get(name) ?? 0) + 1);
  }

  visit(node: ModelNode): void {
    const op = opOf(node);
    const data = node.inputs.filter((name, slot) => name && !op.hostInputs.includes(slot));
    const [made = ""] = node.outputs;
    if (op.gradient === "zero" || !data.length) return;
    const isFixed = data.every((name) => this.terms.has(name) || this.singles.has(name));
    if (isFixed && !data.some((name) => this.terms.has(name))) this.singles.set(made, undefined);
    else if (handsOn(node)) this.handOn(data[0] as string, made);
    else {
      const terms = isFixed ? this.combined(node) : undefined;
      if (terms) this.terms.set(made, terms);
      else {
        if (isFixed || !this.meets(node)) for (const name of data) this.end(name);
        if (op.product) this.made.add(made);
        this.visitData(node);
      }
    }
  }

  private handOn(from: string, to: string): void {
    for (const known of [this.terms, this.chains, this.rooted] as Map<string, unknown>[])
      if (known.has(from)) known.set(to, known.get(from));
    if (this.made.has(from)) this.made.add(to);
  }

  /** Notes where the weights of an expression meet data. */
  private end(name: string, kindOf: (term: Term) => End["kind"] = () => "other"): readonly End[] {
    return (this.terms.get(name) ?? []).map((term) => {
      const end = { kind: kindOf(term) };
      addTo(this.ends, term.weight, end);
      return end;
    });
  }

  /** The exponent of a power, where it is one number that is known. */
  private exponentOf(node: ModelNode): number | undefined {
    return this.singles.get(node.inputs[1] ?? "");
  }

  /** The terms of an expression of weights and single numbers; undefined if it is none that a norm has. */
  private combined(node: ModelNode): readonly Term[] | undefined {
    const [a, b] = [0, 1].map((slot) => this.terms.get(node.inputs[slot] ?? "") ?? []) as [Term[], Term[]];
    if (node.inputs.length > 2) return undefined;
    switch (opOf(node).arithmetic) {
      case "add":
      case "bound":
        return [...a, ...b];
      case "subtract":
        return [...a, ...negated(b)];
      case "negate":
        return negated(a);
      case "multiply":
        return [...beside(b, a), ...beside(a, b)];
      case "divide": {
        const divisor = through(b, reciprocals);
        return divisor && [...beside(divisor, a), ...divisor];
      }
      case "root":
        return through(a, roots);
      case "reciprocal":
        return through(a, reciprocals);
      case "power": {
        const exponent = this.exponentOf(node) ?? 0;
        const base = Math.abs(exponent) === 0.5 ? through(a, roots) : exponent === -1 ? a : undefined;
        return base && exponent < 0 ? through(base, reciprocals) : base;
      }
      default:
        return undefined;
    }
  }

  /** What an expression of weights is to the data that it is added to, or multiplies; whether a norm could hold it so. */
  private meets(node: ModelNode): boolean {
    const { arithmetic } = opOf(node);
    const slot = node.inputs.findIndex((name) => this.terms.has(name));
    const fixed = node.inputs[slot];
    if (node.inputs.length !== 2 || fixed === undefined) return false;
    const from = node.inputs[1 - slot] as string;
    const [made = ""] = node.outputs;
    const terms = this.terms.get(fixed) as readonly Term[];
    if (arithmetic === "add" || (arithmetic === "subtract" && slot === 1))
      this.shift(terms, fixed, from, made, arithmetic);
    else if (arithmetic === "multiply" || (arithmetic === "divide" && slot === 1))
      this.scale(terms, fixed, from, made, arithmetic === "divide");
    else return false;
    return true;
  }

  private shift(
    terms: readonly Term[],
    fixed: string,
    from: string,
    made: string,
    arithmetic: "add" | "subtract",
  ): void {
    const isPart = has(terms, "inverse");
    const chain = this.chains.get(from);
    const follows = this.made.has(from) || Boolean(chain?.factors.length);
    const ends = this.end(fixed, ({ form }) => {
      if (form === "inverse" || form === "scaled") return "statistic";
      return form === "plain" && (isPart || (follows && terms.length === 1)) ? "affine" : "other";
    });
    if (chain) this.settle(chain);
    if (follows) this.made.add(made);
    const isTaken = terms.every(({ form, negative }) => form === "plain" && negative !== (arithmetic === "subtract"));
    if (isTaken && this.readers.get(made) === 1) this.chains.set(made, { mean: ends, factors: [] });
  }

  private scale(terms: readonly Term[], fixed: string, from: string, made: string, divides: boolean): void {
    const chain = this.chains.get(from);
    const inverse = divides ? "root" : "inverse";
    const isNorm = has(terms, inverse);
    const isScale = isNorm || (this.made.has(from) && terms.length === 1);
    const ends = this.end(fixed, ({ form }) => (form === inverse ? "statistic" : isScale ? "affine" : "other"));
    if (isScale) this.made.add(made);
    if (!chain) return;
    const factors = [...chain.factors, { ends, divides }];
    if (isNorm) for (const end of chain.mean) end.kind = "statistic";
    else if (factors.length > 1) this.settle({ ...chain, factors });
    else this.chains.set(made, { ...chain, factors });
    if (isNorm || factors.length > 1) this.made.add(made);
  }

  /** A norm whose root is folded has come to its end: says which of its tensors is what. */
  private settle({ mean, factors }: Chain): void {
    if (!factors.length) return;
    const deviation = factors.find(({ divides }) => divides) ?? (factors.length > 1 ? factors[0] : undefined);
    for (const end of mean) end.kind = "statistic";
    for (const factor of factors)
      for (const end of factor.ends) end.kind = factor === deviation ? "statistic" : "affine";
  }

  /** Follows data through roots, and through factors of one number. */
  private visitData(node: ModelNode): void {
    const { arithmetic } = opOf(node);
    const [first = "", second = ""] = node.inputs;
    const [made = ""] = node.outputs;
    const [a, b] = [this.rooted.get(first), this.rooted.get(second)];
    const single = [first, second].find((name) => this.singles.has(name));
    const other = single === first ? second : first;
    const exponent = arithmetic === "power" ? this.exponentOf(node) : undefined;
    if (arithmetic === "root" || exponent === 0.5) this.rooted.set(made, "root");
    else if (exponent === -0.5 || (arithmetic === "reciprocal" && a === "root")) this.rooted.set(made, "inverse");
    else if (arithmetic === "divide" && b === "root") {
      if (single === first) this.rooted.set(made, "inverse");
      else this.made.add(made);
    } else if (arithmetic === "multiply" && (a === "inverse" || b === "inverse")) this.made.add(made);
    else if (single !== undefined && (arithmetic === "add" || arithmetic === "bound")) {
      const root = this.rooted.get(other);
      if (root) this.rooted.set(made, root);
    } else if (single !== undefined && (arithmetic === "multiply" || (arithmetic === "divide" && other === first)))
      this.handOn(other, made);
  }
}
