import { NodeError } from "../graph/errors.js";
import {
  type Category,
  categories,
  consumers,
  type Graph,
  type Node,
  producers,
  tensorBytes,
  tensorOf,
} from "../graph/graph.js";
import { inPlaceSlots, opOf } from "../ops/index.js";

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
  /** Place in a flat buffer whose parts are made by nodes. */
  readonly within?: { readonly tensor: string; readonly offsetBytes: number };
}

export interface Storages {
  /** Those of the device. */
  readonly all: readonly Storage[];
  /** Those in host memory, which no timeline counts. */
  readonly host: readonly Storage[];
  /** Storage of each tensor, and where in it the tensor starts (not 0 for slices of resident flat buffers). */
  readonly of: ReadonlyMap<string, { readonly storage: Storage; readonly offsetBytes: number }>;
}

/** Input whose storage a view shares; undefined for other nodes. */
const viewed = (node: Node): string | undefined => (opOf(node).view ? node.inputs[0] : undefined);

/**
 * Which tensors share memory: views with what they show, outputs written over an input that nothing reads later, the
 * next value of a state with the state. Throws `state overwritten while still read: …` if a graph's state cannot be
 * updated in place.
 */
export function storages(graph: Graph): Storages {
  const made = producers(graph);
  const read = consumers(graph);
  const last = graph.nodes.length - 1;
  const kept = new Set(graph.outputs);

  // 1. views: the tensor that each one shows
  const shown = new Map<string, string>();
  const origin = (name: string): string => shown.get(name) ?? name;
  for (const node of graph.nodes) {
    const source = viewed(node);
    if (source) shown.set(node.outputs[0] as string, origin(source));
  }

  const keptOrigins = new Set(graph.outputs.map(origin));

  // 2. when each of those tensors is read for the last time, in any of its views
  const lastRead = new Map<string, number>();
  const extend = (name: string, rank: number): void => {
    lastRead.set(name, Math.max(lastRead.get(name) ?? -1, rank));
  };
  const flat = new Map<string, string[]>();
  for (const tensor of graph.tensors.values())
    if (tensor.within && made.has(tensor.name))
      flat.set(tensor.within.tensor, [...(flat.get(tensor.within.tensor) ?? []), tensor.name]);
  for (const parts of flat.values()) parts.sort((a, z) => (made.get(z) as number) - (made.get(a) as number));
  for (const name of graph.tensors.keys()) {
    const ranks = read.get(name);
    const final = kept.has(name) ? last : ranks ? (ranks[ranks.length - 1] as number) : -1;
    if (final < 0) continue;
    extend(origin(name), final);
    // who reads a flat buffer reads what was put last into each of its places
    const parts = flat.get(name) ?? [];
    for (const rank of parts.length ? (ranks ?? []) : []) {
      const read = new Set<number | undefined>();
      for (const part of parts) {
        const at = tensorOf(graph, part).within?.offsetBytes;
        if ((made.get(part) as number) >= rank || read.has(at)) continue;
        read.add(at);
        extend(origin(part), rank);
      }
    }
  }

  // 3. residents
  const of = new Map<string, { storage: Storage; offsetBytes: number }>();
  const all: Storage[] = [];
  const host: Storage[] = [];
  const start = (name: string, from: number, resident: boolean): Storage => {
    const tensor = tensorOf(graph, name);
    const storage: Storage = {
      name,
      bytes: tensorBytes(tensor),
      start: from,
      end: resident ? last : Math.max(from, lastRead.get(name) ?? from),
      tenants: [{ tensor: name, from }],
      resident,
      ...(tensor.within && !resident ? { within: tensor.within } : {}),
    };
    (tensor.host ? host : all).push(storage);
    of.set(name, { storage, offsetBytes: 0 });
    return storage;
  };
  for (const tensor of graph.tensors.values())
    if (!made.has(tensor.name) && !tensor.within && !flat.has(tensor.name)) start(tensor.name, -1, true);
  for (const { name, within } of graph.tensors.values())
    if (within && !made.has(name)) {
      const whole = of.get(within.tensor);
      if (!whole) throw new Error(`no storage for ${name}: ${within.tensor}`);
      of.set(name, { storage: whole.storage, offsetBytes: within.offsetBytes });
    }

  // 4. the next value of a state goes where the state is
  const replaced = new Map(graph.state.map(({ before, after }) => [origin(after), before]));
  const slices = new Map<string, string[]>();
  for (const { name, within } of graph.tensors.values())
    if (within) slices.set(within.tensor, [...(slices.get(within.tensor) ?? []), name]);
  const checkState = (node: Node, index: number, rank: number, before: string): void => {
    const readers = [before, ...(slices.get(before) ?? [])].map((name) => lastRead.get(name) ?? -1);
    const allowed = inPlaceSlots(node, index).some((slot) => node.inputs[slot] === before);
    const now = node.inputs.includes(before);
    if (Math.max(...readers) > rank || (now && !allowed))
      throw new NodeError(`state overwritten while still read: ${before}`, node);
  };

  // 5. everything else in schedule order
  graph.nodes.forEach((node, rank) => {
    const source = viewed(node);
    if (source) {
      const place = of.get(source);
      if (place) of.set(node.outputs[0] as string, place);
      return;
    }
    node.outputs.forEach((name, index) => {
      if (!name) return;
      const before = replaced.get(name);
      if (before !== undefined) {
        checkState(node, index, rank, before);
        const place = of.get(before) as { storage: Storage; offsetBytes: number };
        place.storage.tenants.push({ tensor: name, from: rank });
        of.set(name, place);
        return;
      }
      const taken = overwritable(name, node, index, rank);
      if (!taken) {
        // what it writes over counts until then
        start(name, overwritesPart(name, node, index, rank) ? rank + 1 : rank, false);
        return;
      }
      taken.tenants.push({ tensor: name, from: rank });
      taken.end = Math.max(rank, lastRead.get(name) ?? rank);
      of.set(name, { storage: taken, offsetBytes: 0 });
    });
  });
  return { all, host, of };

  /** Whether the output goes to a place in a flat buffer where an input of the node is. Throws if that is read later. */
  function overwritesPart(output: string, node: Node, index: number, rank: number): boolean {
    const { within } = tensorOf(graph, output);
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

  /** A storage that the node's output may take over from one of its inputs. */
  function overwritable(output: string, node: Node, index: number, rank: number): Storage | undefined {
    const tensor = tensorOf(graph, output);
    const { inPlaceTypes } = opOf(node);
    const inPlace = inPlaceSlots(node, index);
    if (tensor.within || inPlaceTypes?.includes(tensor.dtype) === false) return undefined;
    for (const slot of inPlace) {
      const input = node.inputs[slot];
      const storage = input ? of.get(input)?.storage : undefined;
      if (!input || !storage || storage.resident || storage.within || storage.end !== rank) continue;
      const tenant = storage.tenants.at(-1);
      if (tenant?.from === rank) continue; // another output of the node has taken it
      if (tenant && keptOrigins.has(tenant.tensor)) continue; // read after the last node
      if (tensorOf(graph, input).host !== tensor.host) continue;
      if (storage.bytes !== tensorBytes(tensor) || tensorOf(graph, input).dtype !== tensor.dtype) continue;
      // the same storage must not be read through another input
      const others = node.inputs.filter((name, i) => i !== slot && name && of.get(name)?.storage === storage);
      if (others.some((name) => name !== input || !inPlace.includes(node.inputs.lastIndexOf(name)))) continue;
      return storage;
    }
    return undefined;
  }
}

/** Live bytes while each node runs, by category; every storage counts once, by the tensor that holds it then. */
export function timeline(graph: Graph, known: Storages = storages(graph)): Timeline {
  const count = graph.nodes.length;
  const byCategory = Object.fromEntries(categories.map((c) => [c, new Array<number>(count).fill(0)])) as Record<
    Category,
    number[]
  >;
  let residentBytes = 0;
  const category = (name: string): Category => tensorOf(graph, name).category;
  for (const storage of known.all) {
    if (storage.resident) residentBytes += storage.bytes;
    storage.tenants.forEach(({ tensor, from }, i) => {
      const next = storage.tenants[i + 1]?.from ?? storage.end + 1;
      const row = byCategory[category(tensor)];
      for (let rank = Math.max(from, 0); rank < next; rank++) row[rank] = (row[rank] as number) + storage.bytes;
    });
  }
  const totalBytes = Array.from({ length: count }, (_, rank) =>
    categories.reduce((sum, c) => sum + (byCategory[c][rank] as number), 0),
  );
  let peakRank = 0;
  totalBytes.forEach((bytes, rank) => {
    if (bytes > (totalBytes[peakRank] as number)) peakRank = rank;
  });
  return { byCategory, totalBytes, peakBytes: totalBytes[peakRank] ?? residentBytes, peakRank, residentBytes };
}

/** Greatest number of bytes that are live at once, residents included. */
export function peakBytes(graph: Graph): number {
  const known = storages(graph);
  const change = new Float64Array(graph.nodes.length + 1);
  let resident = 0;
  for (const { resident: always, bytes, start, end } of known.all)
    if (always) resident += bytes;
    else {
      change[start] = (change[start] as number) + bytes;
      change[end + 1] = (change[end + 1] as number) - bytes;
    }
  let live = resident;
  let peak = resident;
  for (let rank = 0; rank < graph.nodes.length; rank++) {
    live += change[rank] as number;
    if (live > peak) peak = live;
  }
  return peak;
}

/** The storages that are live at a rank (default: the peak), largest first. */
export function peakHolders(graph: Graph, rank = timeline(graph).peakRank): PeakHolder[] {
  const made = producers(graph);
  return storages(graph)
    .all.filter((storage) => storage.resident || (storage.start <= rank && rank <= storage.end))
    .map((storage): PeakHolder => {
      const { tensor } = storage.tenants.findLast(({ from }) => from <= rank) ?? { tensor: storage.name };
      const producer = made.get(tensor);
      return {
        name: tensor,
        category: tensorOf(graph, tensor).category,
        bytes: storage.bytes,
        producer: producer === undefined || storage.resident ? null : (graph.nodes[producer] as Node).name,
      };
    })
    .sort((a, z) => z.bytes - a.bytes || (a.name < z.name ? -1 : 1));
}

/** Live bytes while each node runs, by category; residents included. */
export interface Timeline {
  readonly byCategory: Readonly<Record<Category, readonly number[]>>;
  readonly totalBytes: readonly number[];
  readonly peakBytes: number;
  /** Rank of the (first) node at the peak. */
  readonly peakRank: number;
  /** Bytes that live through the whole step: inputs, parameters, buffers, optimizer state, constants. */
  readonly residentBytes: number;
}

/** A storage that is live at the peak. */
export interface PeakHolder {
  readonly name: string;
  readonly category: Category;
  readonly bytes: number;
  /** Name of the node that makes it; null for residents. */
  readonly producer: string | null;
}
