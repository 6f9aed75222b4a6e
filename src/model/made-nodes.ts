import { NodeError } from "../graph/errors.js";
import { valuesOf } from "../graph/values.js";
import type { Knowledge } from "./expansion.js";
import type { Initializer, ModelNode, Subgraph } from "./model.js";
import { ancestorsOf, makersOf } from "./needed.js";
import { readsOf } from "./subgraphs.js";

/** Most nodes that writing a model out may make. */
const mostMade = 100_000;

/** Throws if writing loops out has made, or will make, more nodes than any model needs: `loops make more than …`. */
export function checkMade(node: ModelNode, made: number): void {
  if (made > mostMade)
    throw new NodeError(`loops make more than ${mostMade} nodes`, node, {
      hint: "bind a smaller dimension (--dim), or export the model without the loop",
    });
}

type ValueOf = (name: string) => number | undefined;

/**
 * Throws before a node's body is written out so many times if the loops inside of it, whose trips are known already, make
 * too many nodes in all: `loops make more than …`.
 */
export function checkTripsInside(node: ModelNode, trips: number, known: Knowledge): void {
  const { model } = known;
  const makers = makersOf(model.nodes);
  const outer: ValueOf = (name) =>
    known.value(name)?.[0] ?? held(model.initializers.get(name)) ?? constantOf(makers.get(name));
  const body = node.subgraphs?.body;
  const handedOn = node.op === "Loop" ? body?.outputs.slice(1) : body?.outputs;
  if (body && handedOn) checkMade(node, trips * nodesIn(body, handedOn, outer));
}

const held = (one: Initializer | undefined): number | undefined =>
  one && one.data.length <= 8 ? valuesOf(one.dtype, one.data)[0] : undefined;

/** The number that a Constant node makes; undefined of any other node. */
function constantOf(node: ModelNode | undefined): number | undefined {
  if (node?.op !== "Constant" || node.domain) return undefined;
  const { value, value_int } = node.attributes;
  if (value_int?.type === "int") return value_int.value;
  return value?.type === "tensor" ? held(value.value) : undefined;
}

/** How many nodes one run of a body is written out as, at least: loops count where all that is handed on needs them. */
function nodesIn(body: Subgraph, handedOn: readonly string[], outer: ValueOf): number {
  const makers = makersOf(body.nodes);
  const inputs = new Set(body.inputs);
  const numberOf: ValueOf = (name) => {
    if (inputs.has(name)) return undefined;
    const own = body.initializers.get(name);
    if (own) return held(own);
    return makers.has(name) ? constantOf(makers.get(name)) : outer(name);
  };
  const needs = handedOn.map((name) => ancestorsOf([name], makers).nodes);
  const isNeeded = (node: ModelNode): boolean => needs.length > 0 && needs.every((nodes) => nodes.has(node));
  // what depends on no input is made once
  const varying = new Set(body.inputs);
  let count = 0;
  for (const node of body.nodes) {
    if (!readsOf(node).some((name) => varying.has(name))) continue;
    for (const name of node.outputs) if (name) varying.add(name);
    count += 1;
    const inner = node.op === "Loop" && node.domain === "" ? node.subgraphs?.body : undefined;
    if (!inner || !isNeeded(node) || !alwaysGoesOn(inner)) continue;
    const [limit = "", condition = ""] = node.inputs;
    const starts = condition === "" || condition === body.inputs[1] || numberOf(condition) === 1;
    if (starts) count += Math.max(0, numberOf(limit) ?? 0) * nodesIn(inner, inner.outputs.slice(1), numberOf);
  }
  return count;
}

/** Whether the body's first output is the condition that it was given, or always true. */
export function alwaysGoesOn(body: Subgraph): boolean {
  let name = body.outputs[0] ?? "";
  for (let i = 0; i <= body.nodes.length; i++) {
    if (name === body.inputs[1]) return true;
    const data = body.initializers.get(name)?.data;
    if (data) return data[0] === 1;
    const node = body.nodes.find(({ outputs }) => outputs.includes(name));
    const value = node?.op === "Constant" ? node.attributes.value : undefined;
    if (value?.type === "tensor") return value.value.data[0] === 1;
    if (node?.op !== "Identity") return false;
    name = node.inputs[0] ?? "";
  }
  return false;
}
