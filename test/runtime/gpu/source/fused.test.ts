import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../../../src/build/text.js";
import {
  type Attributes,
  type DType,
  elementCount,
  type Graph,
  int,
  ints,
  type Node,
  tensorOf,
} from "../../../../src/graph/graph.js";
import { randomFrom } from "../../../../src/graph/random.js";
import { bytesOf, type Value, valuesOf } from "../../../../src/graph/values.js";
import { readModel } from "../../../../src/model/read.js";
import { fusedGraph } from "../../../../src/ops/fused.js";
import { opOf } from "../../../../src/ops/index.js";
import { openCpu } from "../../../../src/runtime/cpu.js";
import { readDeviceSpec } from "../../../../src/runtime/device-spec.js";
import { openEstimate } from "../../../../src/runtime/estimate.js";
import type { Launch, Launches } from "../../../../src/runtime/gpu/source/channels.js";
import { canGenerate, fusedSource } from "../../../../src/runtime/gpu/source/fused.js";
import type { KernelSource } from "../../../../src/runtime/gpu/source/kernel.js";
import { averagePoolSource, maxPoolGradientSource, maxPoolSource } from "../../../../src/runtime/gpu/source/pool.js";
import { reducedShape, reductionSource } from "../../../../src/runtime/gpu/source/reduce.js";
import { lowerFor } from "../../../../src/step/lower.js";
import { trainingStep } from "../../../../src/step/training.js";
import { at } from "../../../at.js";
import { compiled, onHost as options, place, placed, runLaunches } from "./on-host.js";

// Generated CUDA C runs here as C++, thread by thread (cuda-shim.h), against ONNX Runtime's CPU kernels.

/** Of an H100. */
const multiprocessors = 132;

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const random = randomFrom(5);

/** Seeded values of a type: positive enough that logarithms and roots are defined. */
function valueLike(dtype: DType, shape: readonly number[], limit?: number): Value {
  const isFloat = /float/.test(dtype);
  const values = Array.from({ length: elementCount(shape) }, () =>
    isFloat ? 0.1 + random() : Math.floor(random() * (dtype === "bool" ? 2 : (limit ?? 3))),
  );
  return { dtype, shape, data: bytesOf(dtype, values) };
}

/** Compares a kernel's result with the CPU's: equal, or within rounding for floats. */
function near(dtype: DType, actual: Uint8Array, expected: Uint8Array, what: string): void {
  const [p, q] = [valuesOf(dtype, actual), valuesOf(dtype, expected)];
  const scale = q
    .map(Math.abs)
    .filter(Number.isFinite)
    .reduce((a, z) => Math.max(a, z), 1e-3);
  q.forEach((value, i) => {
    const other = p[i] as number;
    const same = Object.is(other, value) || other === value || Math.abs(other - value) <= 5e-6 * scale;
    assert.ok(same, `${what}: element ${i} is ${other}, not ${value}`);
  });
}

const node = (op: string, inputs: number, attributes: Attributes, domain = ""): Node => ({
  name: op,
  domain,
  op,
  inputs: Array.from({ length: inputs }, (_, i) => `x${i}`),
  outputs: ["y0"],
  attributes,
  phase: "forward",
});

const gpu = openEstimate(readDeviceSpec("h100"));

/** The same where convolutions gain more with channels last than anything costs. */
const most = { float32: 1e9 };
const alwaysLast = {
  ...gpu,
  layoutGains: { dense: most, matrices: most, grouped: most, depthwise: most, sums: {} },
};

for (const [name, loss, order] of [
  ["bert_tiny.ts", "ce"],
  ["swin.ts", "ce"],
  ["lstm.ts", "ce"],
  ["unet_bn.dynamo", "ce:axis=1"],
  ["gpt2_tiny.dynamo", "ce"],
  ["resnet_bottleneck.ts", "ce"],
  ["mobilenet_v2.ts", "ce"],
  ["unet_bn.dynamo", "ce:axis=1", "channels last"],
  ["resnet_bottleneck.ts", "ce", "channels last"],
  ["mobilenet_v2.ts", "ce", "channels last"],
] as const)
  test(
    `fusedSource(each distinct fused node of ${name}${order ? `, ${order}` : ""}) computes what the ops do`,
    options,
    () => {
      const { graph } = readModel(at("fixtures", `${name}.onnx`), { runtime: cpu });
      const fused = lowerFor(order ? alwaysLast : gpu, trainingStep(graph, { loss, optimizer: "adam" }));
      const cases = new Map<string, { node: Node; source: Launches; inputs: Value[] }>();
      for (const one of fused.nodes) {
        if (one.op !== "Fused") continue;
        const body = fusedGraph(
          opOf,
          one,
          one.inputs.map((input) => tensorOf(fused, input)),
        );
        if (one.inputs.some((input) => elementCount(tensorOf(fused, input).shape) > 20000)) continue;
        assert.ok(canGenerate(body), one.name);
        for (const aligned of [true, false]) {
          const source = fusedSource(body, aligned, multiprocessors);
          const key = source.launches.map((launch) => launch.source.name).join();
          if (cases.has(key) || cases.size >= 40) continue;
          const inputs = one.inputs.map((input) =>
            valueLike(tensorOf(fused, input).dtype, tensorOf(fused, input).shape),
          );
          cases.set(key, { node: one, source, inputs });
        }
      }
      assert.ok(cases.size > 4, `${cases.size} kernels`);
      const run = compiled([...cases.values()].flatMap(({ source }) => source.launches.map((launch) => launch.source)));
      for (const { node: one, source, inputs } of cases.values()) {
        const expected = cpu.evaluate(one, inputs);
        const outputs = expected.map(({ data }) => place(data.length));
        const operands = new Map([
          ...inputs.map(({ data }, i) => [`x${i}`, placed(data)] as const),
          ...outputs.map((output, i) => [`y${i}`, output] as const),
        ]);
        runLaunches(run, source, operands);
        for (const [i, { dtype, data }] of expected.entries())
          near(dtype, outputs[i] as Uint8Array, data, `${one.attributes.ops?.value} (${one.name})`);
      }
    },
  );

test("fusedSource(rows too long to keep) reads them again for each reduction and for what is written", options, () => {
  const text = (columns: number) => `graph(float32[5,${columns}] x, float32[${columns}] z, float32[5,1] r) => (y, s) {
    a = Mul(x, z)
    m = ReduceMax<axes=[-1], keepdims=1>(a)
    l = Sub(a, m)
    e = Exp(l)
    s = ReduceSum<axes=[-1], keepdims=1>(e)
    d = Div(e, s)
    y = Add(d, r)
  }`;
  // with fours and without
  const bodies = [40000, 33333].map((columns) => parseGraph(text(columns)));
  const sources = bodies.map((body) => fusedSource(body, true, multiprocessors));
  const run = compiled(sources.flatMap(({ launches }) => launches.map(({ source }) => source)));
  for (const [i, body] of bodies.entries()) {
    const values = new Map(body.inputs.map((name) => [name, valueLike("float32", tensorOf(body, name).shape)]));
    const inputs = body.inputs.map((name) => values.get(name) as Value);
    for (const one of body.nodes) {
      const given = one.inputs.map((name) => values.get(name) as Value);
      one.outputs.forEach((name, j) => void values.set(name, cpu.evaluate(one, given)[j] as Value));
    }
    const memory = inputs.map(({ data }) => placed(data));
    const [y, s] = body.outputs.map((name) => (values.get(name) as Value).data);
    assert.ok(y && s);
    // the result may lie where the input lies
    const rows = place(s.length);
    const given = body.inputs.map((name, at) => [name, memory[at] as Uint8Array] as const);
    const made = new Map([...given, ["y", memory[0] as Uint8Array] as const, ["s", rows] as const]);
    runLaunches(run, sources[i] as Launches, made);
    near("float32", rows, s, `sums of ${i}`);
    near("float32", memory[0] as Uint8Array, y, `result of ${i}`);
  }
});

test("reductionSource([outer, before, kept, after]) is ReduceSum and ReduceMean over what lies around", options, () => {
  const cases: [number[], number[]][] = [
    [[37, 48], [0]],
    [[700, 33], [0]],
    [
      [3, 5, 4, 4],
      [0, 2, 3],
    ],
    [[2, 3, 130], [2]],
    [[9000], [0]],
    [
      [4, 300, 20],
      [0, 1],
    ],
    [
      [3, 7, 7, 40],
      [1, 2],
    ],
    [
      [2, 90, 9, 5],
      [1, 2],
    ],
    [
      [9, 400, 96],
      [0, 1],
    ],
    [[5, 300, 128], [1]],
  ];
  const sources = cases.map(([shape, axes]) => {
    const seen = reducedShape(shape, axes);
    assert.ok(seen);
    return (["ReduceSum", "ReduceMean"] as const).flatMap((op) =>
      [false, true].map((aligned) => ({
        op,
        shape,
        axes,
        made: reductionSource("float32", seen, op === "ReduceMean" ? seen.before * seen.after : 1, multiprocessors, {
          aligned,
        }),
      })),
    );
  });
  const all = sources.flat();
  const run = compiled(all.flatMap(({ made }) => (made.second ? [made.first, made.second] : [made.first])));
  for (const { op, shape, axes, made } of all) {
    const x = valueLike("float32", shape);
    const [expected] = cpu.evaluate({ ...node(op, 1, { keepdims: int(0) }), inputs: ["x0", "axes"] }, [
      x,
      { dtype: "int64", shape: [axes.length], data: bytesOf("int64", axes) },
    ]);
    assert.ok(expected);
    const [input, parts, output] = [placed(x.data), place(made.workspaceBytes), place(expected.data.length)];
    run(made.first, [input, made.second ? parts : output]);
    if (made.second) run(made.second, [parts, output]);
    near("float32", output, expected.data, `${op} of [${shape}] over ${axes}`);
  }
});

test("reductionSource(columns of 16 bits) reads four at a time, and gives sums in float32 if asked", options, () => {
  const shape = { before: 1500, kept: 264, after: 1 };
  const values = Array.from({ length: shape.before * shape.kept }, () => random());
  const x = bytesOf("bfloat16", values);
  const made = (["bfloat16", "float32"] as const).map((to) => ({
    to,
    source: reductionSource("bfloat16", shape, 1, multiprocessors, { to, aligned: true }),
  }));
  const run = compiled(made.flatMap(({ source }) => [source.first, source.second ?? []].flat()));
  const exact = new Array<number>(shape.kept).fill(0);
  valuesOf("bfloat16", x).forEach((value, i) => {
    exact[i % shape.kept] = (exact[i % shape.kept] as number) + value;
  });
  for (const { to, source } of made) {
    const [parts, output] = [place(source.workspaceBytes), place(shape.kept * (to === "float32" ? 4 : 2))];
    run(source.first, [placed(x), parts]);
    if (source.second) run(source.second, [parts, output]);
    // a bfloat16 sum is rounded once, from the float32 one
    const bound = to === "float32" ? 1e-6 : 2 ** -8;
    valuesOf(to, output).forEach((sum, i) => {
      assert.ok(Math.abs(sum / (exact[i] as number) - 1) < bound, `${to} ${i}: ${sum} for ${exact[i]}`);
    });
  }
});

for (const [what, dtype, shape, window] of [
  [
    "overlapping windows",
    "float32",
    [2, 3, 11, 9],
    { kernel: [3, 3], strides: [2, 2], dilations: [1, 1], pads: [1, 1, 1, 1] },
  ],
  ["spread windows of a line", "float64", [2, 2, 17], { kernel: [3], strides: [1], dilations: [2], pads: [2, 1] }],
  [
    "boxes",
    "float32",
    [1, 2, 5, 6, 4],
    { kernel: [2, 3, 2], strides: [2, 1, 2], dilations: [1, 1, 1], pads: [0, 1, 0, 1, 1, 0] },
  ],
] as const)
  test(
    `maxPoolSource and maxPoolGradientSource (${what}) give the winners, and each winner its windows' gradients`,
    options,
    () => {
      const attributes = {
        kernel_shape: ints(window.kernel),
        strides: ints(window.strides),
        dilations: ints(window.dilations),
        pads: ints(window.pads),
      };
      const x = valueLike(dtype, shape);
      const [y, index] = cpu.evaluate({ ...node("MaxPool", 1, attributes), outputs: ["y0", "y1"] }, [x]);
      assert.ok(y && index);
      const dY = valueLike(dtype, y.shape);
      const gradient = node("MaxPoolGradient", 2, { ...attributes, shape: ints(shape) }, "mutwo");
      const [expected] = cpu.evaluate(gradient, [dY, index]);
      assert.ok(expected);
      const pooling = { dtype, shape, pooled: y.shape.slice(2), window };
      for (const channelsLast of [false, true]) {
        const order = (value: Value): Value => (channelsLast ? lastOf(value) : value);
        const [pool, alone] = [true, false].map((indexed) => maxPoolSource({ ...pooling, channelsLast }, indexed)) as [
          KernelSource,
          KernelSource,
        ];
        const back = maxPoolGradientSource({ ...pooling, channelsLast });
        const run = compiled([pool, alone, back]);
        const [most, at, again, dX] = [y, index, y, expected].map(({ data }) => place(data.length)) as Uint8Array[];
        run(pool, [placed(order(x).data), most as Uint8Array, at as Uint8Array]);
        run(alone, [placed(order(x).data), again as Uint8Array]);
        run(back, [placed(order(dY).data), placed(order(index).data), dX as Uint8Array]);
        near(dtype, most as Uint8Array, order(y).data, "MaxPool");
        near("int64", at as Uint8Array, order(index).data, "indices");
        assert.deepEqual(again, most);
        near(dtype, dX as Uint8Array, order(expected).data, "MaxPoolGradient");
      }
    },
  );

test("fusedSource(body) reads operands that are broadcast along the last axis by fours", options, () => {
  const bodies = [
    "graph(float32[3,5,4,8] x, float32[3,1,1,8] s, float32[8] b) => (y) { p = Mul(x, s) y = Add(p, b) }",
    "graph(float32[3,5,4,8] x, float32[5,1,8] s, float32[3,5,4,1] b) => (y) { p = Mul(x, s) y = Add(p, b) }",
    "graph(float32[2,3,260] x, float32[260] s, float32[2,1,260] b) => (y) { p = Mul(x, s) y = Add(p, b) }",
  ].map((text) => parseGraph(text));
  const all = bodies.flatMap((body) => [only(body, 1)].map((source) => ({ body, source })));
  const run = compiled(all.map(({ source }) => source));
  for (const { body, source } of all) {
    const inputs = body.inputs.map((name) => valueLike("float32", tensorOf(body, name).shape));
    const [x, s, b] = inputs as [Value, Value, Value];
    const [product] = cpu.evaluate(node("Mul", 2, {}), [x, s]);
    const [expected] = cpu.evaluate(node("Add", 2, {}), [product as Value, b]);
    const output = place((expected as Value).data.length);
    run(source, [...inputs.map(({ data }) => placed(data)), output]);
    near("float32", output, (expected as Value).data, source.source);
  }
  assert.match(all[0]?.source.source ?? "", /s_r = \*\(const mutwo_four<float>\*\)/);
});

test("averagePoolSource(window) is AveragePool of images in both orders, pads counted or not", options, () => {
  const shape = [2, 3, 11, 9];
  const window = { kernel: [3, 2], strides: [2, 2], dilations: [1, 1], pads: [1, 0, 1, 1] };
  const x = valueLike("float32", shape);
  for (const [countsPads, ceil] of [
    [false, 0],
    [true, 0],
    [true, 1],
    [false, 1],
  ] as const) {
    const attributes = {
      kernel_shape: ints(window.kernel),
      strides: ints(window.strides),
      pads: ints(window.pads),
      ceil_mode: int(ceil),
      count_include_pad: int(Number(countsPads)),
    };
    const [y] = cpu.evaluate(node("AveragePool", 1, attributes), [x]);
    assert.ok(y);
    const pooling = { dtype: "float32", shape, pooled: y.shape.slice(2), window } as const;
    for (const channelsLast of [false, true]) {
      const source = averagePoolSource({ ...pooling, channelsLast }, countsPads);
      const output = place(y.data.length);
      compiled([source])(source, [placed(channelsLast ? lastOf(x).data : x.data), output]);
      near("float32", output, channelsLast ? lastOf(y).data : y.data, `AveragePool ${countsPads} ${ceil}`);
    }
  }
});

/** An image with its channels last. */
function lastOf(value: Value): Value {
  const perm = [0, ...value.shape.slice(2).map((_, axis) => axis + 2), 1];
  const [turned] = cpu.evaluate(node("Transpose", 1, { perm: ints(perm) }), [value]);
  return turned as Value;
}

/** The one kernel of a body. */
function only(body: Graph, multiprocessors: number): KernelSource {
  const { launches } = fusedSource(body, true, multiprocessors);
  assert.equal(launches.length, 1);
  return (launches[0] as Launch).source;
}

test("fusedSource(body, multiprocessors): the same text, a grid that is no larger than the device asks", () => {
  const rows = parseGraph("graph(float32[100000,64] x) => (y) { y = ReduceSum<axes=[-1], keepdims=1>(x) }");
  const long = parseGraph("graph(float32[100000,2048] x) => (y) { y = ReduceSum<axes=[-1], keepdims=1>(x) }");
  for (const [body, perMultiprocessor] of [
    [rows, 64],
    [long, 16],
  ] as const) {
    const [small, large] = [only(body, 10), only(body, 132)];
    assert.equal(small.source, large.source);
    assert.deepEqual([small.blocks, large.blocks], [10 * perMultiprocessor, 132 * perMultiprocessor]);
  }
});

test("fusedSource(body) launches no more blocks than it has work for", () => {
  const body = parseGraph("graph(float32[2,512] x) => (y) { y = Exp(x) }");
  assert.equal(only(body, 132).blocks, 1);
  const large = parseGraph("graph(float32[4096,4096] x) => (y) { y = Exp(x) }");
  assert.equal(only(large, 132).blocks, (4096 * 4096) / 1024);
});
