import type { Graph, Node } from "../../graph/graph.js";
import { timeline } from "../../memory/liveness.js";
import type { Steady } from "../plan.js";
import { merge, type Ring, type Sections, sectionsOf } from "./ring.js";
import { rotate } from "./rotate.js";

/** A node in the order of a ring, and the node of the other member after which that one rests meanwhile; -1 for none. */
interface Beside {
  readonly rank: number;
  readonly rests: number;
}

/** Each node of a joint graph with what rests beside it. */
function besides(graph: Graph, ring: Ring): Beside[] {
  const rank = new Map(graph.nodes.map(({ name }, index) => [name, index]));
  const { sections } = sectionsOf(graph.nodes, ring);
  const ranksOf = (nodes: Sections["rest"]): number[] => nodes.map(({ name }) => rank.get(name) as number);
  return sections.flatMap(({ forward: own, rest }, i): Beside[] => {
    const { forward } = sections[(i + 1) % sections.length] as Sections;
    const ahead = new Set(ranksOf(forward));
    // between the phases of a member all that it saves waits; before the first node and after the last there is nothing
    const between = ranksOf(own).at(-1) ?? -1;
    const last = ranksOf(rest).at(-1);
    let [behind, before] = [between, -1];
    return ranksOf(merge(rest, forward, ring)).map((at) => {
      if (ahead.has(at)) {
        before = at;
        return { rank: at, rests: behind };
      }
      behind = at === last ? -1 : at;
      return { rank: at, rests: before };
    });
  });
}

/** The executed form of plans for a joint graph whose members follow one another in a ring; `swapShare` as in Steady. */
export function steadyOf(graph: Graph, ring: Ring, swapShare: number): Steady {
  const all = besides(graph, ring);
  const unplanned = rotate(graph, ring).graph;
  // inputs of the next step lie beside those of this one
  const moreBytes = timeline(unplanned).residentBytes - timeline(graph).residentBytes;
  return {
    key: JSON.stringify([...ring.before, ring.members, ring.stages, swapShare]),
    swapShare,
    join: graph.nodes.indexOf(sectionsOf(graph.nodes, ring).sections[0]?.rest[0] as Node),
    execute: (planned) => (planned === graph ? unplanned : rotate(planned, ring).graph),
    fold(liveBytes, residentBytes) {
      const own = liveBytes.slice();
      // what waits between two nodes of a member lives beside both
      const waiting = (rank: number): number =>
        rank < 0 ? 0 : Math.max(0, Math.min(own[rank] as number, own[rank + 1] as number) - residentBytes);
      let peakBytes = residentBytes + moreBytes;
      for (const { rank, rests } of all) {
        const bytes = moreBytes + (own[rank] as number) + waiting(rests);
        for (const one of rests < 0 ? [rank] : [rank, rests, rests + 1])
          liveBytes[one] = Math.max(liveBytes[one] as number, bytes);
        peakBytes = Math.max(peakBytes, bytes);
      }
      return peakBytes;
    },
  };
}
