import { isFloat } from "../graph/graph.js";
import { ops } from "../ops/index.js";
import type { Model, ModelNode } from "./model.js";
import { makersOf } from "./needed.js";
import { handsOn } from "./statistics.js";

/** The input or initializer that a tensor is under another name, type or shape; undefined for what is computed. */
function handedOn(name: string, makers: ReadonlyMap<string, ModelNode>): string | undefined {
  let from = name;
  // a node may read what it makes: that is refused later
  const seen = new Set<ModelNode>();
  for (let node = makers.get(name); node; node = makers.get(from)) {
    const isKnown = node.domain === "" && ops.has(node.op) && node.inputs[0];
    if (!isKnown || seen.has(node) || !handsOn(node)) return undefined;
    seen.add(node);
    from = node.inputs[0] as string;
  }
  return from;
}

/**
 * Names of the tensors that are wanted, and what a user should know of the choice: all outputs (`output` is undefined), one
 * that is named, or the one that a loss is of (null): the first of floats that is not an input handed on. Throws
 * `unknown output: …`, and why an output cannot be read.
 */
export function wantedOutputs(
  { outputs, nodes, unreadable = new Map() }: Model,
  output: string | null | undefined,
): { readonly names: readonly string[]; readonly notes: readonly string[] } {
  const names = outputs.map(({ name }) => name);
  if (output === undefined && names.length > 0) return { names, notes: [] };
  if (output !== undefined && output !== null) {
    if (!names.includes(output) && !unreadable.has(output) && !nodes.some((node) => node.outputs.includes(output)))
      throw new Error(`unknown output: ${output} (one of ${names.join(", ")})`);
    return { names: [output], notes: [] };
  }
  const makers = makersOf(nodes);
  const floats = outputs.filter(({ dtype }) => isFloat(dtype)).map(({ name }) => name);
  const chosen = floats.find((name) => handedOn(name, makers) === undefined) ?? floats[0] ?? names[0];
  if (chosen === undefined) throw [...unreadable.values()][0] ?? new Error("no output");
  const [first = chosen] = floats;
  const passed = `the loss is of output ${chosen}: ${first} is only ${handedOn(first, makers)} handed on`;
  return { names: [chosen], notes: first === chosen ? [] : [passed] };
}
