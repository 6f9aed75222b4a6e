import { dtypes, type Graph, isForward, producers, tensorBytes, tensorOf } from "../graph/graph.js";
import { activationOf, copyInputs, copyOutputs, savedActivations } from "../memory/activations.js";
import { arrivals } from "../memory/state-uses.js";
import { inPlaceSlots, opOf } from "../ops/index.js";

/** Numbers of one graph: of tensors, of nodes, of saved activations. */
export interface Compiled {
  /** Names of the saved activations, in the order of vectors of actions. */
  readonly activations: readonly string[];
  /** For each of them the number of its tensor, and of those of its tensors that the backward phase reads. */
  readonly activationTensors: Int32Array;
  readonly backwardMembers: readonly Int32Array[];
  readonly nodes: readonly CompiledNode[];
  readonly bytes: Float64Array;
  readonly dtype: Uint8Array;
  readonly host: Uint8Array;
  /** Rank of the node that makes each tensor; -1 for residents. */
  readonly made: Int32Array;
  /** Place of a part that a node makes, among all places in flat buffers; -1 for other tensors. */
  readonly part: Int32Array;
  /** For each tensor that is a flat buffer, the places in it; undefined for others. */
  readonly places: readonly (readonly number[] | undefined)[];
  /** The tensors that become wanted with a tensor, itself among them: parts of a flat buffer, the buffer of a part. */
  readonly bound: readonly Int32Array[];
  /** 1 for tensors that are bound to no other. */
  readonly single: Uint8Array;
  readonly flat: FlatNodes;
  /** The saved activation each tensor belongs to; -1 for none. */
  readonly owner: Int32Array;
  readonly wanted: Int32Array;
  /** The tensors that must hold their value when the step ends. */
  readonly outputs: Int32Array;
  /** The next values of states. */
  readonly afters: Int32Array;
  /** The tensors that states come from the host as, each with the rank of the last node that uses it. */
  readonly arrivals: ReadonlyMap<number, number>;
  /** 1 for the next values of states. */
  readonly after: Uint8Array;
}

/** What simulations read of all nodes, in lists that are read from end to end faster than nodes are. */
export interface FlatNodes {
  /** Where the names of a node begin in `names`, and where its outputs do. */
  readonly start: Int32Array;
  readonly middle: Int32Array;
  readonly names: Int32Array;
  readonly ms: Float64Array;
  /** 1 for those that are views, those of the forward phase, those that may write an output over an input. */
  readonly view: Uint8Array;
  readonly forward: Uint8Array;
  readonly overwrites: Uint8Array;
}

export interface CompiledNode {
  readonly inputs: Int32Array;
  readonly outputs: Int32Array;
  readonly copyInputs: Int32Array;
  readonly copyOutputs: Int32Array;
  readonly view: boolean;
  readonly forward: boolean;
  readonly ms: number;
  /** For each output, the inputs that it may be written over. */
  readonly slots: readonly (readonly number[])[];
  /** By element type: whether the kernel can write in place. */
  readonly inPlace: readonly boolean[];
  /** Saved activations whose blocks stand before this node, in the order in which they were made. */
  targets: number[];
}

/** A graph as numbers; `nodeMs` holds the time of each node. */
export function compile(graph: Graph, nodeMs: readonly number[]): Compiled {
  const saved = savedActivations(graph);
  const activations = [...saved.keys()];
  const names = [...graph.tensors.keys()];
  const number = new Map(names.map((name, i) => [name, i]));
  const numbers = (list: readonly string[]): Int32Array =>
    Int32Array.from(list, (name) => (name ? (number.get(name) as number) : -1));
  const tensors = names.map((name) => tensorOf(graph, name));
  const producer = producers(graph);
  const indexOf = new Map(activations.map((name, i) => [name, i]));
  const owners = activationOf(graph);
  const nodes = graph.nodes.map((node, rank): CompiledNode => {
    const op = opOf(node);
    return {
      inputs: numbers(node.inputs),
      outputs: numbers(node.outputs),
      copyInputs: numbers(copyInputs(node)),
      copyOutputs: numbers(copyOutputs(node)),
      view: op.view && Boolean(node.inputs[0]),
      forward: isForward(node.phase),
      ms: nodeMs[rank] as number,
      slots: node.outputs.map((_, i) => inPlaceSlots(node, i)),
      inPlace: dtypes.map((dtype) => op.inPlaceTypes?.includes(dtype) !== false),
      targets: [],
    };
  });
  activations.forEach((name, i) => {
    const rank = saved.get(name)?.firstBackwardAccess as number;
    (nodes[rank] as CompiledNode).targets.push(i);
  });
  // places in flat buffers: one for each part's offset, whichever of the tensors that lie there one after the other
  const placeOf = new Map<string, number>();
  const part = Int32Array.from(tensors, ({ name, within }) => {
    if (!within || !producer.has(name)) return -1;
    const key = `${within.offsetBytes} ${within.tensor}`;
    if (!placeOf.has(key)) placeOf.set(key, placeOf.size);
    return placeOf.get(key) as number;
  });
  const placesIn = new Map<string, Set<number>>();
  tensors.forEach(({ within }, i) => {
    if (!within || (part[i] as number) < 0) return;
    const known = placesIn.get(within.tensor) ?? new Set();
    placesIn.set(within.tensor, known.add(part[i] as number));
  });
  const places = names.map((name) => (placesIn.has(name) ? [...(placesIn.get(name) as Set<number>)] : undefined));
  const after = new Set(graph.state.map((pair) => pair.after));
  const activationTensors = numbers(activations);
  const bound = boundTensors(graph, number);
  const made = Int32Array.from(names, (name) => producer.get(name) ?? -1);
  const madeBy = (activation: number): number => made[activationTensors[activation] as number] as number;
  for (const { targets } of nodes) targets.sort((a, z) => madeBy(a) - madeBy(z));
  return {
    activations,
    activationTensors,
    backwardMembers: [...saved.values()].map(({ backwardMembers }) => numbers(backwardMembers)),
    nodes,
    bytes: Float64Array.from(tensors, tensorBytes),
    dtype: Uint8Array.from(tensors, ({ dtype }) => dtypes.indexOf(dtype)),
    host: Uint8Array.from(tensors, ({ host }) => (host ? 1 : 0)),
    made,
    part,
    places,
    bound,
    single: Uint8Array.from(bound, ({ length }) => (length === 1 ? 1 : 0)),
    flat: flatten(nodes),
    owner: Int32Array.from(names, (name) => indexOf.get(owners.get(name) ?? "") ?? -1),
    wanted: numbers([...graph.outputs, ...graph.state.flatMap((pair) => [pair.before, pair.after])]),
    outputs: numbers(graph.outputs),
    afters: numbers([...after]),
    arrivals: arrivals(graph),
    after: Uint8Array.from(names, (name) => (after.has(name) ? 1 : 0)),
  };
}

function flatten(nodes: readonly CompiledNode[]): FlatNodes {
  const start = new Int32Array(nodes.length + 1);
  nodes.forEach(({ inputs, outputs }, i) => {
    start[i + 1] = (start[i] as number) + inputs.length + outputs.length;
  });
  const names = new Int32Array(start[nodes.length] as number);
  nodes.forEach(({ inputs, outputs }, i) => {
    names.set(inputs, start[i] as number);
    names.set(outputs, (start[i] as number) + inputs.length);
  });
  const flags = (is: (node: CompiledNode) => boolean): Uint8Array =>
    Uint8Array.from(nodes, (node) => (is(node) ? 1 : 0));
  return {
    start,
    middle: Int32Array.from(nodes, ({ inputs }, i) => (start[i] as number) + inputs.length),
    names,
    ms: Float64Array.from(nodes, ({ ms }) => ms),
    view: flags(({ view }) => view),
    forward: flags(({ forward }) => forward),
    overwrites: flags(({ slots }) => slots.some(({ length }) => length > 0)),
  };
}

/** For each tensor what becomes wanted with it: graph/graph.ts's `prune`. */
function boundTensors(graph: Graph, number: ReadonlyMap<string, number>): Int32Array[] {
  const parts = new Map<string, string[]>();
  for (const { name, within } of graph.tensors.values())
    if (within) {
      const known = parts.get(within.tensor);
      if (known) known.push(name);
      else parts.set(within.tensor, [name]);
    }
  return [...graph.tensors.values()].map(({ name, within }) => {
    const whole = within?.tensor;
    const all = [name, ...(parts.get(name) ?? []), ...(whole ? [whole, ...(parts.get(whole) ?? [])] : [])];
    return Int32Array.from(new Set(all), (one) => number.get(one) as number);
  });
}
