import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Builder } from "../../src/build/build.js";
import type { DType } from "../../src/graph/graph.js";
import { type Attended, asHeads, asRows, attend, behind, pattern } from "../../src/ops/attending.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { lower } from "../../src/step/lower.js";
import { distance, graphOf, loaded, randoms } from "../sampled.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

/** What `build` makes of inputs of those shapes, and what these held. */
async function made(shapes: readonly (readonly number[])[], build: (b: Builder, names: readonly string[]) => string) {
  const b = new Builder();
  const random = randoms(3);
  const values = new Map<string, number[]>();
  const names = shapes.map((shape, i) => {
    values.set(
      `x${i}`,
      Array.from({ length: shape.reduce((p, n) => p * n, 1) }, () => 2 * random() - 1),
    );
    return b.declare({ name: `x${i}`, dtype: "float32" as DType, shape, category: "input" });
  });
  const y = build(b, names);
  const step = loaded(lower(graphOf(b, [y]), cpu.hasKernel), cpu);
  const result = (await step.run(values)).get(y) as number[];
  step.close();
  return { result, shape: b.type(y).shape, inputs: names.map((name) => values.get(name) as number[]) };
}

/** The same by loops: four heads of queries over two of keys, three queries, five keys; `score` changes each score. */
function byHand([q, k, v]: readonly number[][], score: (raw: number, query: number, key: number) => number, sink = 0) {
  const [heads, queries, keys, width] = [4, 3, 5, 2];
  const y: number[] = [];
  for (let head = 0; head < heads; head++)
    for (let query = 0; query < queries; query++) {
      const shared = Math.floor(head / 2) * keys * width;
      const weights = Array.from({ length: keys }, (_, key) => {
        let sum = 0;
        for (let i = 0; i < width; i++)
          sum += (q?.[(head * queries + query) * width + i] ?? 0) * (k?.[shared + key * width + i] ?? 0);
        return Math.exp(score(0.5 * sum, query, key));
      });
      const total = weights.reduce((a, c) => a + c, sink);
      for (let i = 0; i < width; i++)
        y.push(weights.reduce((a, weight, key) => a + (weight / total) * (v?.[shared + key * width + i] ?? 0), 0));
    }
  return y;
}

const sizes: Attended = { batch: 1, heads: 4, kvHeads: 2, queries: 3, keys: 5, width: 2, valueWidth: 2 };

const shapes = [
  [1, 4, 3, 2],
  [1, 2, 5, 2],
  [1, 2, 5, 2],
];

const three = (names: readonly string[]) => names.slice(0, 3) as [string, string, string];

test("attend(b, [q, k, v], …) is softmax(scale·q·kᵀ)·v of heads that share keys", async () => {
  const { result, inputs } = await made(
    shapes,
    (b, names) => attend(b, three(names), sizes, { masks: [], scale: 0.5 }).y,
  );
  assert.ok(
    distance(
      result,
      byHand(inputs, (raw) => raw),
    ) < 1e-6,
  );
});

test("attend caps scores, adds to them, hides them, in this order", async () => {
  const sees = (query: number, key: number): boolean => key <= query + 1;
  const { result, inputs } = await made([...shapes, [3, 5]], (b, names) => {
    const masks = [names[3] as string, pattern(b, 3, 5, sees)];
    return attend(b, three(names), sizes, { masks, scale: 0.5, softcap: 0.3 }).y;
  });
  const bias = inputs[3] as number[];
  const expected = byHand(inputs, (raw, query, key) =>
    sees(query, key) ? 0.3 * Math.tanh(raw / 0.3) + (bias[query * 5 + key] as number) : Number.NEGATIVE_INFINITY,
  );
  assert.ok(distance(result, expected) < 1e-6);
});

test("attend gives a sink its share, which has no value", async () => {
  const { result, inputs } = await made(shapes, (b, names) => {
    const sink = b.constant("float32", [1, 1, 1, 1], 0.7);
    return attend(b, three(names), sizes, { masks: [], scale: 0.5, sink }).y;
  });
  assert.ok(
    distance(
      result,
      byHand(inputs, (raw) => raw, Math.exp(0.7)),
    ) < 1e-6,
  );
});

test("asHeads(b, x, heads) turns rows into heads, asRows back; behind(b, past, x) appends positions", async () => {
  const back = await made([[2, 3, 4]], (b, [x = ""]) => asRows(b, asHeads(b, x, 2)));
  assert.deepEqual([back.result, back.shape], [back.inputs[0]?.map(Math.fround), [2, 3, 4]]);
  const { shape } = await made(
    [
      [2, 3, 4],
      [2, 2, 5, 2],
    ],
    (b, [x = "", past = ""]) => behind(b, past, asHeads(b, x, 2)),
  );
  assert.deepEqual(shape, [2, 2, 8, 2]);
  const none = await made([[1, 1, 2, 2]], (b, [x = ""]) => b.op("Neg", [behind(b, undefined, x)]));
  assert.deepEqual(none.shape, [1, 1, 2, 2]);
});
