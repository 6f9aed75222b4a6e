import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import type { Node } from "../../../src/graph/graph.js";
import { randomFrom } from "../../../src/graph/random.js";
import { gpuLanes, type Launch, laneWaits, launchOf, type Range } from "../../../src/runtime/gpu/lane-waits.js";

const range = (from: number, until: number): Range => ({ from: BigInt(from), until: BigInt(until) });

const meet = (some: readonly Range[], others: readonly Range[]): boolean =>
  some.some((a) => others.some((z) => a.from < z.until && z.from < a.until && a.from < a.until && z.from < z.until));

/** Whether two launches must not change places: one writes what the other reads or writes, or stages divide them. */
const areBound = (one: Launch, other: Launch): boolean =>
  one.stage !== other.stage || meet(one.writes, [...other.reads, ...other.writes]) || meet(one.reads, other.writes);

/** For each launch those that are over before it: by waits, by its lane's order, and by what these came after. */
function overBefore(launches: readonly Launch[], waits: readonly (readonly number[])[]): Set<number>[] {
  const over: Set<number>[] = [];
  launches.forEach(({ lane }, at) => {
    const before = launches.slice(0, at).findLastIndex((other) => other.lane === lane);
    const direct = [...(waits[at] as readonly number[]), ...(before < 0 ? [] : [before])];
    over.push(new Set(direct.flatMap((other) => [other, ...(over[other] as Set<number>)])));
  });
  return over;
}

function randomLaunches(seed: number): { launches: Launch[]; lanes: number } {
  const random = randomFrom(seed);
  const lanes = 2 + Math.floor(random() * 3);
  const drawn = (): Range => {
    const from = Math.floor(random() * 40);
    return range(from, from + Math.floor(random() * 4));
  };
  const some = (most: number): Range[] => Array.from({ length: Math.floor(random() * (most + 1)) }, drawn);
  let stage = 0;
  const launches = Array.from({ length: 60 }, (): Launch => {
    if (random() < 0.05) stage++;
    return { lane: Math.floor(random() * lanes), stage, reads: some(2), writes: some(1) };
  });
  return { launches, lanes };
}

test("laneWaits(launches) orders whatever must not change places, and waits for nothing else", () => {
  for (let seed = 0; seed < 50; seed++) {
    const { launches, lanes } = randomLaunches(seed);
    const waits = laneWaits(launches, lanes);
    const over = overBefore(launches, waits);
    launches.forEach((launch, at) => {
      for (let other = 0; other < at; other++)
        if (areBound(launches[other] as Launch, launch))
          assert.ok(over[at]?.has(other), `seed ${seed}: ${at} begins before ${other} is over`);
      // what is waited for is bound, or the last of its lane in the stages before
      for (const other of waits[at] as readonly number[]) {
        const theirs = launches[other] as Launch;
        assert.ok(theirs.lane !== launch.lane && areBound(theirs, launch), `seed ${seed}: ${at} waits for ${other}`);
        const without = waits.map((list, i) => (i === at ? list.filter((one) => one !== other) : list));
        assert.ok(!overBefore(launches, without)[at]?.has(other), `seed ${seed}: ${at} waits for ${other} twice`);
      }
    });
  }
});

test("laneWaits(launches) of lanes that share nothing has no waits within a stage", () => {
  const launches = [0, 1, 0, 1].map((lane, i): Launch => {
    const own = [range(100 * lane, 100 * lane + 50)];
    return { lane, stage: i >> 1, reads: own, writes: own };
  });
  assert.deepEqual(laneWaits(launches, 2), [[], [], [1], [0]]);
  const alone = launches.map((launch) => ({ ...launch, stage: 0 }));
  assert.deepEqual(laneWaits(alone, 2), [[], [], [], []]);
});

test("gpuLanes(graph) numbers the lanes that are there; the many share the few", () => {
  const graph = parseGraph("graph(float32[3] x) => (y) { h = Neg(x) y = Neg(h) }");
  const inLanes = (lanes: readonly number[]) =>
    gpuLanes({ ...graph, nodes: lanes.map((lane): Node => ({ ...(graph.nodes[0] as Node), lane })) });
  assert.deepEqual(inLanes([0, 0]), { count: 1, of: Int32Array.of(0, 0) });
  assert.deepEqual(inLanes([7, 3, 7]), { count: 2, of: Int32Array.of(1, 0, 1) });
  const { count, of } = inLanes(Array.from({ length: 100 }, (_, lane) => lane));
  assert.equal(count, 16);
  assert.deepEqual([of[0], of[15], of[16], of[99]], [0, 15, 0, 3]);
});

test("launchOf(node) has the bytes of its tensors where they lie", () => {
  const graph = parseGraph("graph(float32[3] x) => (y) { y = Neg(x) }");
  const address = (name: string): bigint => (name === "x" ? 64n : 128n);
  assert.deepEqual(launchOf({ ...(graph.nodes[0] as Node), stage: 2 }, 1, graph, address), {
    lane: 1,
    stage: 2,
    reads: [range(64, 76)],
    writes: [range(128, 140)],
  });
});
