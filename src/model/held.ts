import { bytesPerElement, isFloat } from "../graph/graph.js";
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

/** Sums of several masks hold more than one large negative number, but few. */
const mostSums = 4;

/**
 * Whether a tensor holds a mask: zeros, and in other places only ones ("factor") or only few large negative numbers
 * ("summand").
 */
export function maskOf(tensor: Value): "factor" | "summand" | undefined {
  const others = new Set<number>();
  let zeros = false;
  for (const value of numbersOf(tensor)) {
    if (value === 0) zeros = true;
    else if (value !== 1 && value > maskedFrom) return undefined;
    else if (others.add(value).size > mostSums) return undefined;
  }
  if (!zeros || !others.size || (others.has(1) && others.size > 1)) return undefined;
  return others.has(1) ? "factor" : "summand";
}

/** Whether all elements are one number. */
export function isUniform(tensor: Value): boolean {
  const [first] = valuesOf(tensor.dtype, tensor.data.subarray(0, bytesPerElement(tensor.dtype)));
  for (const value of numbersOf(tensor)) if (value !== first) return false;
  return true;
}
