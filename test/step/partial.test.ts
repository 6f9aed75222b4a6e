import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { elementCount, type Graph } from "../../src/graph/graph.js";
import { randomFrom } from "../../src/graph/random.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import type { Cut, PartialGradient } from "../../src/ops/op.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { loadWithValues } from "../../src/runtime/load.js";
import { lower } from "../../src/step/lower.js";
import { wholeGradient } from "../../src/step/partial.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

/** A graph that joins gradients of parts of a tensor, whose inputs are those gradients. */
function joining(shape: readonly number[], cuts: readonly (readonly Cut[])[]): Graph {
  const b = new Builder();
  const parts = cuts.map((list, i): PartialGradient => {
    const own = shape.map((n, axis) => list.find((cut) => cut.axis === axis)?.count ?? n);
    return { gradient: b.declare({ name: `d${i}`, dtype: "float32", shape: own, category: "input" }), cuts: list };
  });
  const whole = wholeGradient(b, parts, shape);
  assert.deepEqual(b.type(whole).shape, shape);
  const inputs = parts.map(({ gradient }) => gradient);
  return { name: "g", nodes: b.nodes, tensors: b.tensors, inputs, outputs: [whole], state: [] };
}

const opsOf = (shape: readonly number[], ...cuts: readonly Cut[][]): string =>
  joining(shape, cuts)
    .nodes.map(({ op }) => op)
    .join(" ");

const cut = (axis: number, start: number, count: number, step = 1): Cut => ({ axis, start, step, count });

test("wholeGradient(b, parts, shape) joins parts that lie side by side, in their order along the axis", () => {
  const graph = joining([2, 6], [[cut(1, 4, 2)], [cut(1, 0, 4)]]);
  assert.deepEqual(
    graph.nodes.map(({ op, inputs }) => [op, ...inputs]),
    [["Concat", "d1", "d0"]],
  );
  assert.equal(opsOf([2, 6], [cut(1, 0, 6)]), "");
  assert.equal(opsOf([2, 6], [cut(1, 1, 2)]), "Pad");
  assert.equal(opsOf([2, 6], [cut(1, 1, 2)], [cut(1, 3, 2)]), "Concat Pad");
  assert.equal(opsOf([2, 6], [cut(1, 0, 2)], [cut(1, 4, 2)]), "Expand Concat");
  // the same places first, places of both axes from the inside out
  assert.equal(opsOf([2, 6], [cut(1, 0, 3)], [cut(1, 3, 3)], [cut(1, 0, 3)]), "Add Concat");
  assert.equal(
    opsOf(
      [4, 4],
      [cut(0, 0, 2), cut(1, 0, 2)],
      [cut(0, 2, 2), cut(1, 0, 2)],
      [cut(0, 0, 2), cut(1, 2, 2)],
      [cut(0, 2, 2), cut(1, 2, 2)],
    ),
    "Concat Concat Concat",
  );
});

test("wholeGradient(b, parts, shape) interleaves parts that take places in turn", () => {
  assert.equal(opsOf([2, 6], [cut(1, 1, 3, 2)], [cut(1, 0, 3, 2)]), "Reshape Reshape Concat Reshape");
  assert.equal(opsOf([2, 6], [cut(1, 1, 3, 2)]), "Reshape Pad Reshape Pad");
});

/** A cut of an axis: any range, every second or third place, either way. */
function randomCut(axis: number, size: number, random: () => number): Cut {
  const below = (n: number): number => Math.floor(random() * n);
  const width = [1, 1, 1, 2, 3][below(5)] as number;
  const first = below(Math.min(size, width === 1 ? size : width));
  const most = Math.ceil((size - first) / width);
  const count = random() < 0.5 ? most : 1 + below(most);
  return random() < 0.7
    ? { axis, start: first, step: width, count }
    : { axis, start: first + (count - 1) * width, step: -width, count };
}

test("wholeGradient(b, parts, shape) is the sum of all parts in their places", async () => {
  const random = randomFrom(5);
  const shape = [3, 4, 6];
  for (let round = 0; round < 60; round++) {
    const cuts = Array.from({ length: 1 + Math.floor(random() * 5) }, () =>
      shape.flatMap((n, axis) => (random() < 0.45 ? [randomCut(axis, n, random)] : [])),
    );
    const graph = joining(shape, cuts);
    const expected = new Float32Array(elementCount(shape));
    const values = new Map<string, Uint8Array>();
    cuts.forEach((list, part) => {
      const own = shape.map((n, axis) => list.find((one) => one.axis === axis)?.count ?? n);
      // small whole numbers: their sums are exact
      const elements = Array.from({ length: elementCount(own) }, () => Math.floor(random() * 100));
      values.set(`d${part}`, bytesOf("float32", elements));
      elements.forEach((value, i) => {
        let left = i;
        const at = own.map((_, axis) => {
          const below = elementCount(own.slice(axis + 1));
          const coordinate = Math.floor(left / below);
          left %= below;
          const along = list.find((one) => one.axis === axis);
          return along ? along.start + coordinate * along.step : coordinate;
        });
        const place = at.reduce((sum, n, axis) => sum * (shape[axis] as number) + n, 0);
        expected[place] = (expected[place] as number) + value;
      });
    });
    const [whole = ""] = graph.outputs;
    if (graph.nodes.length === 0) continue;
    const { step } = loadWithValues(lower(graph, cpu.hasKernel), cpu, values);
    const { observed } = await step.run({ observe: new Set([whole]) });
    assert.deepEqual([...valuesOf("float32", observed.get(whole) as Uint8Array)], [...expected], JSON.stringify(cuts));
    step.close();
  }
});
