import { NodeError } from "../graph/errors.js";
import { consumers, type Graph, type Node, producers, tensorBytes, tensorOf } from "../graph/graph.js";
import { greatest } from "../graph/lists.js";
import { perObject } from "../graph/memo.js";
import { inPlaceSlots, opOf } from "../ops/index.js";
import { homes } from "./homes.js";
import { lastReads, slicesOf } from "./last-reads.js";
import { stateUses } from "./state-uses.js";
import { originOf, shownBy, viewStartBytes } from "./views.js";

/** A piece of memory that one or more tensors use, one after the other or as views of each other. */
export interface Storage {
  /** The first tensor in it. */
  readonly name: string;
  readonly bytes: number;
  /** Rank of the node that first writes it; -1 for residents. */
  readonly start: number;
  /** Rank of the last node that reads or writes it; the last rank for residents and outputs. */
  end: number;
  /** Tensors that hold the storage, with the rank from which they do; views are not listed. */
  readonly tenants: { readonly tensor: string; readonly from: number }[];
  readonly resident: boolean;
  /** Place in a flat buffer whose parts are made by nodes, or in that of an activation carried from step to step. */
  readonly within?: { readonly tensor: string; readonly offsetBytes: number };
}

/** Where a tensor lies: in which storage, and how far in (not 0 for slices of resident flat buffers, and for views of a part). */
export interface Place {
  readonly storage: Storage;
  readonly offsetBytes: number;
}

/** The pieces of memory of a graph, on the device and on the host. */
export interface Storages {
  /** Those of the device. */
  readonly all: readonly Storage[];
  /** Those in host memory, which no timeline counts. */
  readonly host: readonly Storage[];
  readonly of: ReadonlyMap<string, Place>;
}

/** Storages while they are given out. */
interface Given {
  readonly all: Storage[];
  readonly host: Storage[];
  readonly of: Map<string, Place>;
}

/** What the schedule says of tensors, before any has a storage. */
interface Uses {
  /** Rank of the node that makes each tensor. */
  readonly made: ReadonlyMap<string, number>;
  readonly origin: (name: string) => string;
  /** Parts of each flat buffer whose parts are made by nodes, the last one made first. */
  readonly parts: ReadonlyMap<string, readonly string[]>;
  /** Rank of the last node that reads a tensor in any of its views; by the tensor, not the views. */
  readonly lastRead: ReadonlyMap<string, number>;
  /** Graph outputs, and what those show: they hold their value to the end. */
  readonly kept: ReadonlySet<string>;
  /** The state that a tensor is the next value of. */
  readonly renews: ReadonlyMap<string, string>;
  /** Activations carried from step to step, whose storages are free in between. */
  readonly carried: ReadonlySet<string>;
  /** Parts of each flat buffer, resident ones too. */
  readonly slices: ReadonlyMap<string, readonly string[]>;
}

/**
 * Which tensors share memory: views with what they show, outputs written over an input that nothing reads later, the
 * next value of a state with the state. Throws `state overwritten while still read: …` if a graph's state cannot be
 * updated in place.
 */
export const storages = perObject((graph: Graph): Storages => {
  const uses = usesOf(graph);
  const given: Given = { all: [], host: [], of: new Map() };
  giveResidents(graph, uses, given);
  graph.nodes.forEach((node, rank) => {
    const shown = shownBy(node);
    if (!shown) {
      node.outputs.forEach((name, index) => {
        if (name) giveOutput(graph, uses, given, { node, rank, index, name });
      });
      return;
    }
    const place = given.of.get(shown);
    if (!place) return;
    const offsetBytes = place.offsetBytes + viewStartBytes(node, graph);
    const [name = ""] = node.outputs;
    given.of.set(name, { storage: place.storage, offsetBytes });
    if (homes(graph).has(name)) giveArrived(graph, uses, given, name);
  });
  return given;
});

function usesOf(graph: Graph): Uses {
  const made = producers(graph);
  const origin = originOf(graph);
  const slices = slicesOf(graph, () => true);
  const parts = slicesOf(graph, (name) => made.has(name));
  for (const list of parts.values()) list.sort((a, z) => (made.get(z) as number) - (made.get(a) as number));
  const lastRead = lastReads(graph, made, origin, parts);
  const isCarried = ({ before, after }: Graph["state"][number]): boolean =>
    tensorOf(graph, before).category === "activation" &&
    !slices.has(before) &&
    (made.get(origin(after)) ?? 0) > (lastRead.get(before) ?? 0) + 1;
  return {
    made,
    origin,
    parts,
    slices,
    lastRead,
    carried: new Set(graph.state.filter(isCarried).map(({ before }) => before)),
    kept: new Set(graph.outputs.map(origin)),
    renews: new Map(graph.state.map(({ before, after }) => [origin(after), before])),
  };
}

/**
 * A storage that begins with a tensor, at the rank of a node; -1 for a resident. `within` if its place is that of another
 * tensor, or a part of it.
 */
function begin(
  graph: Graph,
  { lastRead }: Uses,
  given: Given,
  name: string,
  from: number,
  within = tensorOf(graph, name).within,
): void {
  const tensor = tensorOf(graph, name);
  const resident = from < 0;
  const storage: Storage = {
    name,
    bytes: tensorBytes(tensor),
    start: from,
    end: resident ? graph.nodes.length - 1 : Math.max(from, lastRead.get(name) ?? from),
    tenants: [{ tensor: name, from }],
    resident,
    ...(within && !resident ? { within } : {}),
  };
  (tensor.host ? given.host : given.all).push(storage);
  given.of.set(name, { storage, offsetBytes: 0 });
}

/** Gives each tensor that no node makes a storage for the whole step, slices of flat buffers a part of the buffer's. */
function giveResidents(graph: Graph, uses: Uses, given: Given): void {
  const { made, parts, carried } = uses;
  for (const { name, within } of graph.tensors.values()) {
    if (made.has(name) || within || parts.has(name)) continue;
    if (carried.has(name)) begin(graph, uses, given, name, 0, { tensor: name, offsetBytes: 0 });
    else begin(graph, uses, given, name, -1);
  }
  for (const { name, within } of graph.tensors.values())
    if (within && !made.has(name) && !homes(graph).has(within.tensor)) {
      const whole = given.of.get(within.tensor);
      if (!whole) throw new Error(`no storage for ${name}: ${within.tensor}`);
      given.of.set(name, { storage: whole.storage, offsetBytes: within.offsetBytes });
    }
}

/** A state that has come from the host: its slices lie in it, and it stays until nobody uses it any more. */
function giveArrived(graph: Graph, { slices, made }: Uses, given: Given, name: string): void {
  const { storage, offsetBytes } = given.of.get(name) as Place;
  for (const slice of slices.get(name) ?? [])
    if (!made.has(slice)) {
      const { within } = tensorOf(graph, slice);
      given.of.set(slice, { storage, offsetBytes: offsetBytes + (within?.offsetBytes ?? 0) });
    }
  storage.end = Math.max(storage.end, stateUses(graph).get(name)?.last ?? storage.end);
}

/** An output of a node: its name, its index, and the node's rank. */
interface Output {
  readonly node: Node;
  readonly rank: number;
  readonly index: number;
  readonly name: string;
}

/** Gives an output the storage of the state that it renews, else that of an input it may overwrite, else a new one. */
function giveOutput(graph: Graph, uses: Uses, given: Given, output: Output): void {
  const { rank, name } = output;
  const { of } = given;
  const before = uses.renews.get(name);
  if (before !== undefined) {
    checkRenewal(graph, uses, output, before);
    if (uses.carried.has(before)) {
      begin(graph, uses, given, name, rank, { tensor: before, offsetBytes: 0 });
      (of.get(name) as Place).storage.end = graph.nodes.length - 1;
      return;
    }
    const place = of.get(before) as Place;
    // the next value of a slice does not take the place of the whole
    if (!tensorOf(graph, before).within) place.storage.tenants.push({ tensor: name, from: rank });
    of.set(name, place);
    return;
  }
  const taken = overwritable(graph, uses, of, output);
  if (!taken) {
    // what it writes over counts until then
    begin(graph, uses, given, name, overwritesPart(graph, uses, of, output) ? rank + 1 : rank);
    return;
  }
  taken.tenants.push({ tensor: name, from: rank });
  taken.end = Math.max(rank, uses.lastRead.get(name) ?? rank);
  of.set(name, { storage: taken, offsetBytes: 0 });
}

/**
 * Throws `state overwritten while still read: …` if a node renews a state before all have read it, and `state read before
 * it is renewed: …` if one has read it as renewed.
 */
function checkRenewal(graph: Graph, uses: Uses, { node, rank, index }: Output, before: string): void {
  const beside = overlapping(graph, uses, before);
  const early = beside.find(
    (name) => tensorOf(graph, name).renewed && (consumers(graph).get(name)?.[0] ?? graph.nodes.length) <= rank,
  );
  if (early) throw new NodeError(`state read before it is renewed: ${early}`, node);
  const readers = beside
    .filter((name) => !tensorOf(graph, name).renewed)
    .map((name) => uses.lastRead.get(uses.origin(name)) ?? -1);
  const allowed = inPlaceSlots(node, index).some((slot) => node.inputs[slot] === before);
  if (greatest(readers) > rank || (node.inputs.includes(before) && !allowed))
    throw new NodeError(`state overwritten while still read: ${before}`, node);
}

/** The tensors that lie where a resident lies: itself, its slices, the whole that it is a slice of and others of that. */
function overlapping(graph: Graph, { slices }: Uses, name: string): string[] {
  const tensor = tensorOf(graph, name);
  const { within } = tensor;
  if (!within) return [name, ...(slices.get(name) ?? [])];
  const end = within.offsetBytes + tensorBytes(tensor);
  const beside = (slices.get(within.tensor) ?? []).filter((other) => {
    const part = tensorOf(graph, other);
    const begin = part.within?.offsetBytes ?? 0;
    return begin < end && begin + tensorBytes(part) > within.offsetBytes;
  });
  return [within.tensor, ...beside];
}

/** Whether the output goes to a place in a flat buffer where an input of the node is. Throws if that is read later. */
function overwritesPart(
  graph: Graph,
  { lastRead }: Uses,
  of: Given["of"],
  { node, rank, index, name }: Output,
): boolean {
  const { within } = tensorOf(graph, name);
  if (!within) return false;
  return inPlaceSlots(node, index).some((slot) => {
    const input = node.inputs[slot] ?? "";
    const place = of.get(input)?.storage;
    const isPart = place?.within?.tensor === within.tensor && place.within.offsetBytes === within.offsetBytes;
    if (!isPart && input !== within.tensor) return false;
    if ((lastRead.get(input) ?? rank) > rank)
      throw new NodeError(`gradient overwritten while still read: ${input}`, node);
    return true;
  });
}

/** A storage that the output may take over from one of its node's inputs. */
function overwritable(graph: Graph, { kept }: Uses, of: Given["of"], output: Output): Storage | undefined {
  const { node, rank, index, name } = output;
  const tensor = tensorOf(graph, name);
  const { inPlaceTypes } = opOf(node);
  const inPlace = inPlaceSlots(node, index);
  if (tensor.within || inPlaceTypes?.includes(tensor.dtype) === false) return undefined;
  for (const slot of inPlace) {
    const input = node.inputs[slot];
    const storage = input ? of.get(input)?.storage : undefined;
    if (!input || !storage || storage.resident || storage.within || storage.end !== rank) continue;
    const tenant = storage.tenants.at(-1);
    if (tenant?.from === rank) continue; // another output of the node has taken it
    if (tenant && kept.has(tenant.tensor)) continue; // read after the last node
    if (tensorOf(graph, input).host !== tensor.host) continue;
    if (storage.bytes !== tensorBytes(tensor) || tensorOf(graph, input).dtype !== tensor.dtype) continue;
    if (tensorBytes(tensorOf(graph, input)) !== storage.bytes) continue; // a view of a part
    // the same storage must not be read through another input
    const others = node.inputs.filter((other, i) => i !== slot && other && of.get(other)?.storage === storage);
    if (others.some((other) => other !== input || !inPlace.includes(node.inputs.lastIndexOf(other)))) continue;
    return storage;
  }
  return undefined;
}
