import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Graph } from "../../src/graph/graph.js";
import { layout } from "../../src/memory/layout.js";
import { pack } from "../../src/memory/pack.js";
import { aligned } from "../../src/memory/packing.js";
import { storages } from "../../src/memory/storages.js";
import { inTurns } from "../../src/memory/turns.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { together } from "../../src/step/together.js";
import { drawnDecisions } from "../lanes.js";
import { overlaps } from "../overlaps.js";
import { fixtureStep } from "../problem.js";

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

const residents = (graph: Graph): number =>
  storages(graph).all.reduce((sum, { resident, bytes }) => sum + (resident ? aligned(bytes) : 0), 0);

test("layout(graph) of models in turn takes all residents, and what the largest takes alone beside its own", () => {
  const [resnet, unet] = ["resnet_basic.ts.onnx", "unet_bn.dynamo.onnx"].map((file) =>
    fixtureStep(runtime, file, { loss: "mse", optimizer: "adam" }),
  ) as [Graph, Graph];
  const planned = (seed: number): Graph => rewrite(resnet, drawnDecisions(resnet, seed));
  for (const graphs of [
    [resnet, resnet, resnet],
    [planned(1), planned(2), planned(3), planned(1)],
    [resnet, unet, planned(4)],
  ]) {
    const graph = together(
      runtime,
      graphs.map((one, i) => ({ name: `m${i}`, graph: one })),
      1,
    );
    assert.deepEqual(overlaps(graph), []);
    const alone = Math.max(...graphs.map((one) => layout(one).arenaBytes - residents(one)));
    const { arenaBytes } = layout(graph);
    // a line for each loss that is read at the end, and for their sum
    const most = residents(graph) + alone + 64 * 2 * graphs.length;
    assert.ok(arenaBytes <= most, `${arenaBytes} of ${most}`);
  }
});

test("inTurns(content) puts what lives on to the bottom, and turns in the same place above it", () => {
  const life = (bytes: number, start: number, end: number) => ({ bytes, start, end });
  const free = [
    life(6400, 0, 1),
    life(640, 1, 2),
    life(64, 1, 9),
    life(6400, 4, 5),
    life(1280, 5, 6),
    life(6400, 8, 9),
  ];
  const arena = inTurns({ free, flat: [], base: 128, count: 10 }, pack);
  assert.deepEqual(arena && [arena.end, [...arena.starts]], [7872, [192, 6592, 128, 192, 6592, 192]]);
});

test("inTurns(content) is undefined for one schedule, with much or little in its middle", () => {
  const life = (bytes: number, start: number, end: number) => ({ bytes, start, end });
  const one = [life(6400, 0, 4), life(6400, 3, 8), life(640, 8, 9)];
  assert.equal(inTurns({ free: one, flat: [], base: 0, count: 10 }, pack), undefined);
  const small = [life(6400, 0, 1), life(64, 1, 4), life(128, 4, 6), life(64, 6, 9)];
  assert.equal(inTurns({ free: small, flat: [], base: 0, count: 10 }, pack), undefined);
  assert.equal(inTurns({ free: [], flat: [], base: 0, count: 0 }, pack), undefined);
});

test("inTurns(content) is undefined where turns hang together by a flat buffer", () => {
  const part = (start: number, end: number, offsetBytes: number) => ({
    storage: { bytes: 6400, start, end },
    offsetBytes,
  });
  const flat = [{ tensor: "f", bytes: 12800, parts: [part(0, 1, 0), part(5, 6, 6400)] }];
  const content = { free: [], flat, base: 0, count: 8 };
  assert.equal(inTurns(content, pack), undefined);
  assert.equal(pack(content).end, 12800);
});
