import { NodeError } from "../graph/errors.js";
import { type Graph, type Node, placeOf } from "../graph/graph.js";
import { perObject } from "../graph/memo.js";
import { aligned } from "./packing.js";
import { type Storage, storages } from "./storages.js";

/** The nodes of a stage: their ranks, and their lanes. */
export interface Stage {
  readonly first: number;
  readonly last: number;
  readonly lanes: ReadonlySet<number>;
}

/**
 * When a storage is in use as nodes of other lanes see it: from one rank to another, both those of whole stages where
 * several lanes run.
 */
export interface Wide {
  /** The lane whose nodes use it; a number of its own, below 0, if nodes of several lanes do. */
  readonly lane: number;
  readonly from: number;
  readonly until: number;
}

/** Which storages may be in use at the same time where nodes of several lanes run side by side. */
export interface Lanes {
  readonly stages: readonly Stage[];
  readonly of: ReadonlyMap<Storage, Wide>;
}

/** The stages of a graph in their order. Throws `stage … after …` if a node's stage is before that of the node before it. */
export const stagesOf = perObject((nodes: readonly Node[]): readonly Stage[] => {
  const stages: { first: number; last: number; lanes: Set<number>; number: number }[] = [];
  nodes.forEach((node, rank) => {
    const { lane, stage } = placeOf(node);
    const current = stages.at(-1);
    if (current && stage < current.number) throw new NodeError(`stage ${stage} after stage ${current.number}`, node);
    if (!current || stage > current.number)
      stages.push({ first: rank, last: rank, lanes: new Set([lane]), number: stage });
    else {
      current.last = rank;
      current.lanes.add(lane);
    }
  });
  return stages;
});

/** The lanes of a graph; undefined if no two nodes may run at the same time. */
export const lanesOf = perObject((graph: Graph): Lanes | undefined => {
  const stages = stagesOf(graph.nodes);
  if (stages.every(({ lanes }) => lanes.size === 1)) return undefined;
  const stageAt = new Int32Array(graph.nodes.length);
  stages.forEach(({ first, last }, index) => void stageAt.fill(index, first, last + 1));
  const users = usersOf(graph);
  const { all, host } = storages(graph);
  const of = new Map<Storage, Wide>();
  const last = graph.nodes.length - 1;
  let mixed = several;
  for (const storage of [...all, ...host]) {
    if (storage.resident) continue;
    const lane = users.get(storage) ?? several;
    const begins = stages[stageAt[Math.min(storage.start, last)] as number] as Stage;
    const ends = stages[stageAt[Math.min(storage.end, last)] as number] as Stage;
    of.set(storage, {
      lane: lane === several ? --mixed : lane,
      from: begins.lanes.size > 1 ? begins.first : storage.start,
      until: ends.lanes.size > 1 ? ends.last : storage.end,
    });
  }
  return { stages, of };
});

const several = -1;

/** The lane whose nodes use each storage, or `several`. */
function usersOf(graph: Graph): Map<Storage, number> {
  const { of, all } = storages(graph);
  const parts = new Map<string, Storage[]>();
  for (const storage of all) {
    if (!storage.within) continue;
    const list = parts.get(storage.within.tensor);
    if (list) list.push(storage);
    else parts.set(storage.within.tensor, [storage]);
  }
  const users = new Map<Storage, number>();
  graph.nodes.forEach((node) => {
    const { lane } = placeOf(node);
    for (const name of [...node.inputs, ...node.outputs]) {
      if (!name) continue;
      const place = of.get(name)?.storage;
      // who reads a flat buffer reads its parts
      for (const storage of place ? [place] : (parts.get(name) ?? [])) {
        const known = users.get(storage);
        users.set(storage, known === undefined || known === lane ? lane : several);
      }
    }
  });
  return users;
}

/** Bytes of what lives at a time, as `worstPeak` wants it. */
export interface LaneLife {
  readonly bytes: number;
  readonly start: number;
  readonly end: number;
  readonly wide?: Wide | undefined;
}

/**
 * The most bytes that may live at once, whatever runs at the same time: in each stage the most of every lane together,
 * and what several lanes use.
 */
export function worstPeak(lives: readonly LaneLife[], stages: readonly Stage[], count: number): number {
  const lanes = new Map<number, Float64Array>();
  const shared = new Float64Array(count + 2);
  const change = (live: Float64Array, start: number, end: number, bytes: number): void => {
    live[start] = (live[start] as number) + bytes;
    live[end + 1] = (live[end + 1] as number) - bytes;
  };
  for (const { bytes, start, end, wide } of lives) {
    if (!wide || wide.lane < 0) {
      change(shared, wide?.from ?? start, wide?.until ?? end, bytes);
      continue;
    }
    let live = lanes.get(wide.lane);
    if (!live) {
      live = new Float64Array(count + 2);
      lanes.set(wide.lane, live);
    }
    change(live, start, end, bytes);
  }
  const rows = [...lanes.values(), shared];
  for (const live of rows)
    for (let rank = 1; rank < live.length; rank++) live[rank] = (live[rank] as number) + (live[rank - 1] as number);
  let peak = 0;
  for (const { first, last, lanes: running } of stages) {
    if (running.size > 1) {
      const most = rows.reduce((sum, live) => sum + live.subarray(first, last + 1).reduce((a, z) => Math.max(a, z), 0), 0);
      peak = Math.max(peak, most);
      continue;
    }
    for (let rank = first; rank <= last; rank++)
      peak = Math.max(
        peak,
        rows.reduce((sum, live) => sum + (live[rank] as number), 0),
      );
  }
  return peak;
}

/**
 * The most bytes of the device that may be live at once, residents included, in whole lines: what `layout` cannot go
 * below. Where no two nodes run at the same time it is `peakBytes`, but for the lines.
 */
export function concurrentPeakBytes(graph: Graph): number {
  const { all } = storages(graph);
  const wide = lanesOf(graph)?.of;
  const base = all.reduce((sum, { resident, bytes }) => sum + (resident ? aligned(bytes) : 0), 0);
  const lives = all
    .filter(({ resident }) => !resident)
    .map((storage) => ({ ...storage, bytes: aligned(storage.bytes), wide: wide?.get(storage) }));
  return base + worstPeak(lives, stagesOf(graph.nodes), graph.nodes.length);
}
