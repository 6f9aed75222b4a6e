import { createHash } from "node:crypto";
import { type DType, elementCount, type Tensor } from "../graph/graph.js";
import { bytesOf, repeated } from "../graph/values.js";

/** Elements of a constant that rules make: they stand in a list first. */
const maxConstant = 2 ** 26;

/** The constants of a graph that is being made: equal ones are one tensor. */
export class Constants {
  private readonly known = new Map<string, string>();
  /** Those whose elements are all the same, by that element. */
  private readonly alike = new Map<string, string>();

  constructor(
    private readonly fresh: (wish: string) => string,
    private readonly declare: (tensor: Tensor) => void,
  ) {}

  /**
   * Name of a constant; `values` may be one number for every element. Throws `constant too large: …` for more than 2²⁶
   * elements.
   */
  name(dtype: DType, shape: readonly number[], values: number | readonly number[]): string {
    if (elementCount(shape) > maxConstant)
      throw new Error(`constant too large: [${shape}], the most is ${maxConstant}`);
    // the dropouts of a transformer have masks of ones with hundreds of millions of elements: made and hashed once
    const alike = typeof values === "number" && `${dtype}[${shape}] of ${Object.is(values, -0) ? "-0" : values}`;
    const made = alike && this.alike.get(alike);
    if (made) return made;
    const name = this.shared(dtype, shape, values);
    if (alike) this.alike.set(alike, name);
    return name;
  }

  private shared(dtype: DType, shape: readonly number[], values: number | readonly number[]): string {
    const count = typeof values === "number" ? elementCount(shape) : values.length;
    const data = typeof values === "number" ? repeated(dtype, values, count) : bytesOf(dtype, values);
    const list = typeof values !== "number" ? values : new Array<number>(Math.min(count, 256)).fill(values);
    const key = `${dtype}[${shape}]${count > 256 ? createHash("sha256").update(data).digest("hex") : list}`;
    const known = this.known.get(key);
    if (known) return known;
    const name = this.fresh(count === 1 ? `const.${dtype}.${list[0]}` : `const.${dtype}.${this.known.size}`);
    this.declare({ name, dtype, shape, category: "constant", data });
    this.known.set(key, name);
    return name;
  }
}
