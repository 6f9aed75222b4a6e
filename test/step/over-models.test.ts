import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { parseGraph } from "../../src/build/parse.js";
import { elementCount, type Graph, prune, tensorOf } from "../../src/graph/graph.js";
import { ops } from "../../src/ops/index.js";
import type { ModelAxis } from "../../src/ops/op.js";
import { withModels } from "../../src/ops/over-models.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { lower } from "../../src/step/lower.js";
import { OverModels } from "../../src/step/over-models.js";
import { addNormalized, buildSample, byOp, distance, graphOf, loaded, type Values } from "../sampled.js";
import type { Sample } from "../samples/sample.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const names = ["m0", "m1", "m2"];

/** Which inputs are each model's own, and where the models stand in them. */
interface Case {
  readonly title: string;
  readonly isOwn: (input: string) => boolean;
  readonly at: ModelAxis;
}

const cases: readonly Case[] = [
  { title: "all inputs own, models first", isOwn: () => true, at: 0 },
  { title: "all inputs own, models before axis 1", isOwn: () => true, at: 1 },
  { title: "the first input own", isOwn: (input) => input === "x0", at: 0 },
  { title: "the first input own, models before axis 1", isOwn: (input) => input === "x0", at: 1 },
  { title: "all inputs own but the first", isOwn: (input) => input !== "x0", at: 0 },
];

/** A sample's values for one of the models: another order of the same, in which indices of several axes stay together. */
const valuesOf = (b: Builder, { op }: Sample, values: Values, model: number): Map<string, number[]> =>
  new Map(
    [...values].map(([name, list]) => {
      const by = model * (op.endsWith("ND") ? (b.type(name).shape.at(-1) ?? 1) : 7);
      return [name, list.map((_, i) => list[(i + by) % list.length] as number)];
    }),
  );

/** A tensor of all models with them before an axis. */
function joined(parts: readonly (readonly number[])[], shape: readonly number[], at: ModelAxis): number[] {
  if (at === 0) return parts.flat();
  const [outer = 1] = shape;
  const inner = elementCount(shape.slice(1));
  return Array.from({ length: outer }, (_, i) => parts.map((part) => part.slice(i * inner, (i + 1) * inner))).flat(2);
}

async function run(graph: Graph, values: Values): Promise<Map<string, number[]>> {
  const step = loaded(lower(prune(graph), cpu.hasKernel), cpu);
  try {
    return await step.run(values);
  } finally {
    step.close();
  }
}

/** Compares what a sample's node gives three models with what it gives each alone; what was done for each by itself. */
async function compare(sample: Sample, { title, isOwn, at }: Case): Promise<readonly string[] | undefined> {
  const { b, node, values } = buildSample(sample, "float32");
  const outputs = addNormalized(b, node, sample);
  const made = [...new Set(outputs.filter((name) => name && b.producer(name)))];
  if (!made.length || ![...values.keys()].some(isOwn)) return undefined;
  const part = graphOf(b, made);
  // nothing to compare
  if ([...values.keys(), ...made].some((name) => elementCount(b.type(name).shape) === 0)) return undefined;
  const inputOf = (model: number): Map<string, number[]> =>
    new Map(
      [...valuesOf(b, sample, values, model)].map(([name, list]) => [
        name,
        isOwn(name) ? list : (values.get(name) ?? []),
      ]),
    );
  const fused = new Builder();
  const over = new OverModels(fused, names);
  const given = new Map<string, number[]>();
  for (const [name, list] of values) {
    const type = b.type(name);
    const own = type.shape.length > at ? at : 0;
    if (isOwn(name)) {
      const shape = withModels(type.shape, names.length, own);
      over.values.holdJoint(name, type, fused.declare({ ...type, shape }), own);
      const parts = names.map((_, model) => inputOf(model).get(name) ?? []);
      given.set(name, joined(parts, type.shape, own));
    } else {
      over.values.holdCommon(name, type, fused.declare(type));
      given.set(name, list);
    }
  }
  over.append([part, part, part]);
  const results = made.map((name) => {
    if (over.values.at(name) !== undefined) return over.values.joint(name, 0);
    return over.values.common(name);
  });
  const whole = await run(graphOf(fused, [...new Set(results)]), given);
  for (const [model, label] of names.entries()) {
    const alone = await run(part, inputOf(model));
    for (const [k, name] of made.entries()) {
      const expected = alone.get(name) ?? [];
      const all = whole.get(results[k] as string) ?? [];
      const count = elementCount(tensorOf(part, name).shape);
      const actual = over.values.at(name) === undefined ? all : all.slice(model * count, (model + 1) * count);
      if (!expected.every(Number.isFinite)) continue;
      assert.ok(
        distance(actual, expected) < 1e-5,
        `${sample.op}, ${title}: ${name} of ${label} is ${actual}, alone ${expected}`,
      );
    }
  }
  return over.sideBySide.map(({ op }) => op);
}

const apart = new Map<string, number>();

for (const [op, record] of ops) {
  const own = (byOp.get(op) ?? []).filter((sample) => !sample.random && !sample.elsewhere);
  if (record.random || record.swap || !own.length) continue;
  test(`${op} of three models at once gives what it gives each alone`, async () => {
    for (const sample of own)
      for (const one of cases) {
        const done = await compare(sample, one);
        for (const name of done ?? []) apart.set(name, (apart.get(name) ?? 0) + 1);
      }
  });
}

test("OverModels(…) without a rule does a node for each model and names it", () => {
  const part = parseGraph(`graph g(float32[2,3,3] x) => (z) {
    y = Det(x)
    z = Neg(y)
  }`);
  const b = new Builder();
  const over = new OverModels(b, names);
  over.append([part, part, part]);
  assert.deepEqual(over.sideBySide, [{ node: "y", op: "Det", why: "no rule" }]);
  assert.deepEqual(
    b.nodes.map(({ name }) => name).filter((name) => /^m\d/.test(name)),
    ["m0/y", "m1/y", "m2/y", "m0/z", "m1/z", "m2/z"],
  );
});
