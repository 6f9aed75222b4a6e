import assert from "node:assert/strict";
import { after, test } from "node:test";
import { elementCount, float, int, type Tensor, text } from "../../src/graph/graph.js";
import { callOf } from "../../src/ops/call.js";
import { ops } from "../../src/ops/index.js";
import type { Op } from "../../src/ops/op.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { lower } from "../../src/step/lower.js";
import { addNormalized, buildSample, byOp, distance, graphOf, loaded, saidOf, type Values } from "../sampled.js";
import type { Sample } from "../samples/sample.js";

// What a record says beside shapes and gradients (index.test.ts), against what ONNX Runtime's kernels do.

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const sampled = (op: string): readonly Sample[] => byOp.get(op) ?? [];

/** Whether each input is a tensor of its own. */
const isDistinct = (sample: Sample): boolean => sample.inputs.every((input) => input?.same === undefined);

/** Ops whose record has something, each with it. */
const having = <K extends keyof Op>(field: K): [op: string, value: NonNullable<Op[K]>][] =>
  [...ops].flatMap(([op, record]) => (record[field] === undefined ? [] : [[op, record[field] as NonNullable<Op[K]>]]));

/** A sample's values as they are, and its first output for these and for others. */
function runner(sample: Sample) {
  const { b, node, values } = buildSample(sample, "float32");
  const y = addNormalized(b, node, sample).find(Boolean) as string;
  const step = loaded(lower(graphOf(b, b.producer(y) ? [y] : []), cpu.hasKernel), cpu);
  const run = async (at: Values): Promise<number[]> => (await step.run(at)).get(y) ?? at.get(y) ?? [];
  return { node, values, type: b.type(y), typeOf: (name: string) => b.type(name), run, close: () => step.close() };
}

/** Where an element of the output, by its rank in the whole, finds its own in an operand that was broadcast. */
function placeIn(operand: readonly number[], full: readonly number[], rank: number): number {
  let [rest, place, stride] = [rank, 0, 1];
  for (let axis = full.length - 1; axis >= 0; axis--) {
    const size = full[axis] as number;
    const own = operand[axis - full.length + operand.length] ?? 1;
    if (own > 1) place += (rest % size) * stride;
    stride *= own;
    rest = Math.floor(rest / size);
  }
  return place;
}

/**
 * Whether changing one element of an input (the first, one in the middle, the last) changes the output in its place
 * alone; undefined where it changes nothing.
 */
async function staysInPlace(sample: Sample): Promise<boolean | undefined> {
  const { node, values, type, typeOf, run, close } = runner(sample);
  const before = await run(values);
  let seen: boolean | undefined;
  for (const [name, x] of values) {
    const { shape } = typeOf(name);
    const fits = shape.every((n, i) => n === 1 || n === type.shape[type.shape.length - shape.length + i]);
    for (const changed of new Set([0, Math.floor(x.length / 2), x.length - 1])) {
      const other = x.find((v) => !Object.is(v, x[changed]));
      if (other === undefined) continue;
      const made = await run(new Map([...values, [name, x.with(changed, other)]]));
      const differ = made.flatMap((v, i) => (Object.is(v, before[i]) ? [] : [i]));
      const isThere = differ.every((i) => placeIn(shape, type.shape, i) === changed);
      if (differ.length) seen = seen !== false && fits && isThere;
    }
  }
  // every input turned round turns the output round: the function is the same in each place
  const isPlain = node.inputs.every((name) => !name || values.has(name) || elementCount(typeOf(name).shape) === 1);
  if (seen && isPlain) {
    const turned = await run(new Map([...values].map(([name, x]) => [name, [...x].reverse()])));
    seen = distance(turned.reverse(), before) < 1e-6;
  }
  close();
  return seen;
}

for (const [op, record] of ops)
  test(`${op} is ${record.pointwise ? "" : "not "}pointwise, as its record says`, async () => {
    if (record.random || record.swap || (!record.pointwise && record.hostInputs.length)) return;
    const found = (await Promise.all(sampled(op).map(staysInPlace))).filter((one) => one !== undefined);
    if (record.pointwise) assert.ok(found.length > 0 && found.every(Boolean), `${op} is marked pointwise and is not`);
    else assert.ok(found.length === 0 || !found.every(Boolean), `${op} is pointwise: mark it`);
  });

/** Whether a change of the first element reaches nothing but the first channel, of two, of what the samples make. */
async function staysInChannel(op: string): Promise<boolean> {
  let seen = false;
  for (const sample of sampled(op)) {
    const { values, type, run, close } = runner(sample);
    const isLast = ops.get(op)?.channelsFirst !== undefined || type.shape.length < 2;
    const axis = isLast ? type.shape.length - 1 : 1;
    const channelOf = (i: number): number =>
      Math.floor(i / elementCount(type.shape.slice(axis + 1))) % (type.shape[axis] as number);
    const x = values.get("x0") as number[];
    const [before, made] = [
      await run(values),
      await run(new Map([...values, ["x0", x.with(0, (x[0] as number) + 9)]])),
    ];
    const differ = made.flatMap((v, i) => (Object.is(v, before[i]) ? [] : [channelOf(i)]));
    close();
    if (differ.some((channel) => channel !== 0)) return false;
    seen ||= differ.length > 0;
  }
  return seen;
}

test("fusible ops are pointwise, make one value of each row, or keep to a channel", async () => {
  for (const [op, kind] of having("fusible")) {
    if (ops.get(op)?.channelInputs) assert.ok(await staysInChannel(op), op);
    else if (kind === "elements") assert.equal(ops.get(op)?.pointwise, true, op);
    else {
      const rows = { op, inputs: [{ shape: [3, 4] }], attributes: { axes: { type: "ints", value: [1] } } } as const;
      const { values, type, run, close } = runner(rows);
      assert.deepEqual(type.shape, [3, 1]);
      const x = values.get("x0") as number[];
      const [before, made] = [await run(values), await run(new Map([["x0", x.map((v, i) => (i < 4 ? v + 9 : v))]]))];
      assert.deepEqual([made[0] !== before[0], made.slice(1)], [true, before.slice(1)], op);
      close();
    }
  }
});

for (const [op] of having("product"))
  test(`${op} is linear in each of its two operands`, async () => {
    for (const sample of sampled(op).filter(isDistinct)) {
      const { values, run, close } = runner(sample);
      const bare = new Map([...values].map(([name, x]) => [name, /^x[01]$/.test(name) ? x : x.map(() => 0)]));
      const once = await run(bare);
      for (const name of ["x0", "x1"].filter((input) => bare.has(input))) {
        const twice = await run(new Map([...bare, [name, (bare.get(name) as number[]).map((v) => 2 * v)]]));
        const expected = once.map((v) => 2 * v);
        assert.ok(distance(twice, expected) < 1e-5, `${op} is not linear in ${name}`);
      }
      close();
    }
  });

for (const [op, slots] of having("scales"))
  for (const slot of slots)
    test(`${op} multiplies by input ${slot}, or divides by it`, async () => {
      let isSeen = false;
      for (const sample of sampled(op).filter(isDistinct)) {
        const attributes = { ...sample.attributes, ...(sample.attributes?.epsilon ? { epsilon: float(1e-9) } : {}) };
        const { values, typeOf, run, close } = runner({ ...sample, attributes });
        const times = (factor: number): Values =>
          new Map(
            [...values].map(([name, x]) => {
              const i = Number(name.slice(1));
              if (i === slot) return [name, x.map((v) => factor * Math.abs(v))];
              // what is added or subtracted
              const isShift = i > 0 && !slots.includes(i) && typeOf(name).shape.length === 1;
              return [name, isShift ? x.map(() => 0) : x];
            }),
          );
        const [once, fourfold] = [await run(times(1)), await run(times(4))];
        close();
        const factor = (fourfold[0] as number) / (once[0] as number);
        const expected = once.map((v) => factor * v);
        assert.ok(distance(expected, fourfold) < 1e-3, `${op} does more than scale by input ${slot}`);
        isSeen ||= factor > 1.5 || factor < 0.7;
      }
      // running statistics do not scale what the batch's own do
      const isState = ops.get(op)?.state?.some(([input]) => input === slot) ?? false;
      assert.equal(isSeen, !isState, `${op} by input ${slot}`);
    });

for (const [op, fanIn] of having("fanIn"))
  if (ops.get(op)?.product)
    test(`${op} sums over fanIn products`, async () => {
      let checked = 0;
      for (const sample of sampled(op).filter(isDistinct)) {
        if (sample.inputs[0]?.shape.length !== 2 || sample.inputs[1]?.shape.length !== 2) continue;
        const attributes = { ...sample.attributes, ...(sample.attributes?.alpha ? { alpha: float(1) } : {}) };
        const { node, values, typeOf, run, close } = runner({ ...sample, attributes });
        const ones = new Map([...values].map(([name, x]) => [name, x.map(() => (/^x[01]$/.test(name) ? 1 : 0))]));
        const expected = fanIn(node, typeOf("x1").shape);
        const y = await run(ones);
        close();
        assert.deepEqual(
          y.filter((v) => v !== expected),
          [],
        );
        checked++;
      }
      assert.ok(checked > 0, `no sample: ${op} of two matrices`);
    });

for (const [op, slot] of having("picks"))
  test(`${op} picks from input 0 where input ${slot} says`, async () => {
    for (const sample of sampled(op)) {
      const { node, values, typeOf, run, close } = runner(sample);
      const [data, index] = [node.inputs[0] as string, node.inputs[slot] as string];
      const x = values.get(data);
      const places = values.get(index);
      if (!x || !places) continue;
      const { shape } = typeOf(data);
      const axis =
        ((callOf(node, new Map(node.inputs.map((n) => [n, typeOf(n) as Tensor]))).int("axis", 0) as number) +
          shape.length) %
        shape.length;
      const last = (shape[axis] as number) - 1;
      const inner = elementCount(shape.slice(axis + 1));
      const there = x.filter((_, i) => Math.floor(i / inner) % (last + 1) === last).map(Math.fround);
      const y = await run(new Map([...values, [index, places.map(() => last)]]));
      assert.deepEqual(
        y.filter((v) => !there.includes(v)),
        [],
      );
      close();
    }
  });

for (const [op] of having("passes"))
  test(`${op} passes the elements of its inputs on`, async () => {
    for (const sample of sampled(op)) {
      const { node, values, typeOf, run, close } = runner(sample);
      const given = node.inputs.flatMap((name, i) =>
        name ? (values.get(name) ?? sample.inputs[i]?.values ?? []) : [],
      );
      // bounds as attributes
      const bounds = ["min", "max"].flatMap((name) => (node.attributes[name]?.value as number | undefined) ?? []);
      const known = new Set([...given, ...bounds].flatMap((v) => [v, Math.fround(v), Math.trunc(v)]).map((v) => v + 0));
      assert.deepEqual(
        (await run(values)).filter((v) => !known.has(v + 0)),
        [],
        `${op} of ${node.inputs.map((name) => name && typeOf(name).shape)}`,
      );
      close();
    }
  });

for (const [op] of having("alias"))
  test(`${op} is its input under another name`, async () => {
    assert.equal(ops.get(op)?.view, true);
    for (const sample of sampled(op)) {
      const { values, type, typeOf, run, close } = runner(sample);
      assert.deepEqual([type.dtype, type.shape], [typeOf("x0").dtype, typeOf("x0").shape]);
      assert.deepEqual(await run(values), values.get("x0")?.map(Math.fround));
      close();
    }
  });

/** Whether the CPU has a kernel for the op of a sample, as the model reader adds it. */
function hasKernel(sample: Sample): boolean {
  const { b, node } = buildSample(sample, "float32");
  addNormalized(b, node, sample);
  return b.nodes.some((made) => made.op === node.op && cpu.hasKernel(made, b));
}

/** Ops that CUDA alone has kernels for. */
const cudaOnly = new Set(["HardSwish"]);

for (const [op, { types }] of ops)
  if (types)
    test(`${op} has a kernel, as its record says`, () => {
      if (cudaOnly.has(op)) assert.ok(!sampled(op).some(hasKernel), `${op} has a kernel on the CPU too`);
      else assert.ok(sampled(op).some(hasKernel), `${op} has no kernel for any of its samples: its types are null`);
    });

test("records agree with themselves", () => {
  for (const [op, record] of ops) {
    if (record.random) assert.equal(record.deterministic, false, `${op} draws, and is not deterministic`);
    if (record.pins) assert.ok(record.types, `${op} has no kernel, and pins nothing`);
    if (record.cpuRefuses) assert.ok(record.types, `${op} has no kernel that could refuse`);
    if (record.alias) assert.ok(record.pointwise, `${op} is pointwise`);
    if (op.includes(":")) assert.equal(record.since, undefined, `${op} belongs to no opset`);
    const onlyThere = record.gpuHostInputs?.filter((slot) => !record.hostInputs.includes(slot)) ?? [];
    assert.deepEqual(onlyThere, [], `${op}: what the device's kernel reads on the host, shapes depend on`);
  }
});

for (const [op, { since }] of ops)
  if (!op.includes(":"))
    test(`${op} is of opset 18 or, as its record says, of a later one`, async () => {
      const runs = async (sample: Sample, opset: number): Promise<boolean> => (await saidOf(sample, opset)) === "";
      const among = async (claim: (sample: Sample) => Promise<boolean>): Promise<boolean> => {
        for (const sample of sampled(op)) if (await claim(sample)) return true;
        return false;
      };
      const early = (sample: Sample): number[] => [18, ...(sample.opsets ?? []).filter((opset) => opset < 18)];
      if (since === undefined)
        assert.ok(
          await among(async (sample) =>
            (await Promise.all(early(sample).map((opset) => runs(sample, opset)))).some(Boolean),
          ),
          `${op}: no sample runs at opset 18: its record lacks since`,
        );
      if (typeof since === "number")
        assert.ok(
          await among(async (sample) => (await runs(sample, since)) && !(await runs(sample, 18))),
          `${op}: no sample runs at opset ${since} and not at 18`,
        );
    });

for (const [op, type] of having("random"))
  test(`${op} draws anew each time, and takes a seed of type ${type}`, async () => {
    let differs = false;
    for (const sample of sampled(op)) {
      const { values, run, close } = runner(sample);
      const once = await run(values);
      // few elements of few values can be the same by chance
      for (let i = 0; i < 10; i++) differs ||= distance(await run(values), once) > 0;
      close();
      const opset = sample.opsets?.[0] ?? 18;
      const seeded = (seed: Sample["attributes"]): Sample => ({
        ...sample,
        attributes: { ...sample.attributes, ...seed },
      });
      if (opset < 12 || (await saidOf(sample, opset)) !== "") continue;
      const [own, other] = type === "int" ? [int(7), float(7)] : [float(7), int(7)];
      assert.equal(await saidOf(seeded({ seed: own }), opset), "");
      assert.match(await saidOf(seeded({ seed: other }), opset), /seed/);
    }
    assert.ok(differs, `${op} draws the same`);
  });

for (const [op, refuses] of having("cpuRefuses"))
  for (const dtype of ["float16", "bfloat16"] as const)
    test(`${op} in ${dtype} has a kernel that refuses to run where the record says so`, async () => {
      for (const reduction of ["none", "add", "mul"]) {
        const sample = sampled(op)[0] as Sample;
        const attributes = { ...sample.attributes, reduction: text(reduction) };
        const { b, node, values } = buildSample({ ...sample, attributes }, "float32");
        b.add(node.op, node.inputs, node.attributes, { name: node.name, outputs: node.outputs });
        const whole = graphOf(b, node.outputs);
        const halved = (tensor: Tensor): Tensor => (tensor.dtype === "float32" ? { ...tensor, dtype } : tensor);
        const tensors = new Map([...whole.tensors].map(([name, tensor]) => [name, halved(tensor)]));
        const step = loaded({ ...whole, tensors }, cpu);
        if (refuses(node, dtype)) await assert.rejects(step.run(values), /data type is not supported/);
        else await step.run(values);
        assert.equal(refuses(node, dtype), reduction !== "none");
        step.close();
      }
    });
