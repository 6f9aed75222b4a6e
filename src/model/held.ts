import { bytesPerElement, elementCount, isFloat } from "../graph/graph.js";
import { type Value, valuesOf } from "../graph/values.js";
import { callOf } from "../ops/call.js";
import { opOf } from "../ops/index.js";
import type { Model } from "./model.js";

/** A float tensor whose values a model file holds: an initializer, or what a Constant node says. */
export interface Held extends Value {
  readonly name: string;
  /** It stands in a node, not among the initializers. */
  readonly isLiteral: boolean;
}

/** Every float tensor that a file holds. */
export function heldTensors({ initializers, nodes }: Pick<Model, "initializers" | "nodes">): Held[] {
  const held = [...initializers].map(([name, value]): Held => ({ ...value, name, isLiteral: false }));
  for (const node of nodes) {
    const { value } = node.inputs.length ? {} : opOf(node);
    const [constant] = value?.(callOf({ ...node, phase: "forward" }, new Map())) ?? [];
    if (constant) held.push({ ...constant, name: node.outputs[0] as string, isLiteral: true });
  }
  return held.filter(({ dtype }) => isFloat(dtype));
}

/**
 * Every float tensor that a part of a file holds which nothing needs, its subgraphs included: Constant nodes that cannot be
 * read are passed over.
 */
export function heldAnywhere({ initializers, nodes }: Pick<Model, "initializers" | "nodes">): Held[] {
  const literals = nodes.flatMap((node): Held[] => {
    if (node.subgraphs) return Object.values(node.subgraphs).flatMap(heldAnywhere);
    if (node.op !== "Constant" || node.domain !== "") return [];
    try {
      return heldTensors({ initializers: new Map(), nodes: [node] });
    } catch {
      return [];
    }
  });
  return [...heldTensors({ initializers, nodes: [] }), ...literals];
}

/** Elements decoded at a time where the first few mostly decide. */
const pieceElements = 4096;

function* numbersOf({ dtype, data }: Value): Generator<number> {
  const size = pieceElements * bytesPerElement(dtype);
  for (let start = 0; start < data.length; start += size) yield* valuesOf(dtype, data.subarray(start, start + size));
}

/** From here on a negative number, added to scores, leaves nothing of their softmax. */
const maskedFrom = -100;

/** Whether a tensor holds a mask: zeros, and in other places only ones or only one large negative number. */
export function isMask(tensor: Value): boolean {
  let other: number | undefined;
  let zeros = false;
  for (const value of numbersOf(tensor)) {
    if (value === 0) zeros = true;
    else if (other === undefined && (value === 1 || value <= maskedFrom)) other = value;
    else if (value !== other) return false;
  }
  return zeros && other !== undefined;
}

/** Whether all elements are one number. */
export function isUniform(tensor: Value): boolean {
  const [first] = valuesOf(tensor.dtype, tensor.data.subarray(0, bytesPerElement(tensor.dtype)));
  for (const value of numbersOf(tensor)) if (value !== first) return false;
  return true;
}

/** The fewest places on a line that can show powers or a wave, and even steps, which few numbers have by chance. */
const shortest = { wave: 4, even: 8 } as const;

/**
 * The formula that the values follow along an axis: "even" steps, or a "wave" (powers of one number; sines and cosines
 * that start at 0 and 1); undefined for none.
 *
 * All of them obey x[t+1] + x[t−1] = k·x[t] with one k for a line: positions, frequencies and tables of them do, weights do
 * not. Lines on which nothing changes say nothing.
 */
export function formulaOf({ dtype, shape, data }: Value): "even" | "wave" | undefined {
  const size = bytesPerElement(dtype);
  const at = (index: number): number => valuesOf(dtype, data.subarray(index * size, (index + 1) * size))[0] as number;
  for (const [axis, length] of shape.entries()) {
    if (length < shortest.wave) continue;
    const stride = elementCount(shape.slice(axis + 1));
    const count = elementCount(shape) / length;
    const kinds = new Set<Line>();
    let fromZero = true;
    for (let line = 0; line < count; line++) {
      const start = Math.floor(line / stride) * stride * length + (line % stride);
      const values = Array.from({ length }, (_, t) => at(start + t * stride));
      const kind = lineOf(values);
      kinds.add(kind);
      if (kind === "none") break;
      const first = values[0] as number;
      fromZero &&= Math.abs(first * (first - 1)) < 1e-6;
    }
    if (kinds.has("none")) continue;
    if (kinds.has("wave") ? fromZero && count > 1 : kinds.has("power")) return "wave";
    if (kinds.has("even") && !kinds.has("wave") && length >= shortest.even) return "even";
  }
  return undefined;
}

type Line = "still" | "even" | "power" | "wave" | "none";

/** How the values go on along one line. */
function lineOf(x: readonly number[]): Line {
  const scale = Math.max(...x.map(Math.abs));
  const tolerance = scale * (x.length < 8 ? 1e-5 : 1e-3);
  const first = x[0] as number;
  if (x.every((value) => Math.abs(value - first) <= scale * 1e-6)) return "still";
  const inner = x.slice(1, -1);
  const sums = inner.map((_, i) => (x[i] as number) + (x[i + 2] as number));
  const obeys = (k: number): boolean =>
    inner.every((value, i) => Math.abs((sums[i] as number) - k * value) <= tolerance);
  if (obeys(2)) return "even";
  const largest = inner.reduce((best, value, i) => (Math.abs(value) > Math.abs(inner[best] as number) ? i : best), 0);
  if (!obeys((sums[largest] as number) / (inner[largest] as number))) return "none";
  const ratio = (x[1] as number) / first;
  return x.every((value, t) => Math.abs(value - first * ratio ** t) <= tolerance) ? "power" : "wave";
}
