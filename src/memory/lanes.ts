import type { Graph } from "../graph/graph.js";
import { placeOf, type Stage, stagesOf } from "../graph/lanes.js";
import { perObject } from "../graph/memo.js";
import { aligned } from "./packing.js";
import { type Storage, storages } from "./storages.js";
import { type Wide, worstPeak } from "./worst-peak.js";

/** Which storages may be in use at the same time where nodes of several lanes run side by side. */
export interface Lanes {
  readonly stages: readonly Stage[];
  readonly of: ReadonlyMap<Storage, Wide>;
}

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
  // a part may take the place of another one: whoever counts them counts the buffer
  for (const list of parts.values())
    if (list.some((storage) => users.get(storage) === several)) for (const storage of list) users.set(storage, several);
  return users;
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
    .map((storage) => ({
      ...storage,
      bytes: storage.within ? storage.bytes : aligned(storage.bytes),
      wide: wide?.get(storage),
    }));
  return base + worstPeak(lives, stagesOf(graph.nodes), graph.nodes.length);
}
