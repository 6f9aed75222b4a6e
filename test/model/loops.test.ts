import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { ProtoGraph, ProtoNode } from "../../src/model/onnx-proto.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { trainingStep } from "../../src/step/training.js";
import { bound, checkFile, file, graph, held, node } from "../written.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const truth = (name: string, value: boolean) => held(name, "bool", [], [value ? 1 : 0]);

const int = (name: string, value: number) => held(name, "int64", [], [value]);

const weights = (name: string, ...shape: number[]) => {
  const count = shape.reduce((product, size) => product * size, 1);
  return held(
    name,
    "float32",
    shape,
    Array.from({ length: count }, (_, i) => Math.sin(i + name.length) / 2),
  );
};

const ops = (nodes: { op: string }[]): string[] => nodes.map(({ op }) => op);

// torch.jit.script writes: for t in range(x.size(0)): h = tanh(x[t] @ w + h); outs.append(h); stack
const rnnBody = graph(
  ["t: int64[]", "go: bool[]", "h: float32"],
  [
    node("xt = Gather(x, t)", { axis: 0 }, "/rnn/Gather"),
    node("p = MatMul(xt, w)", {}, "/rnn/MatMul"),
    node("s = Add(p, h)", {}, "/rnn/Add"),
    node("next = Tanh(s)", {}, "/rnn/Tanh"),
    node("on = Identity(go)"),
  ],
  ["on: bool", "next: float32", "next: float32"],
);

const rnn = (body: ProtoGraph = rnnBody, more: ProtoNode[] = []): ProtoGraph =>
  graph(
    ["x: float32[len,batch,3]", "h0: float32[batch,2]"],
    [
      node("shape = Shape(x)"),
      node("m = Gather(shape, zero)", { axis: 0 }),
      node("last, all = Loop(m, yes, h0)", { body }, "/rnn/Loop"),
      ...more,
    ],
    ["last: float32", "all: float32"],
    [int("zero", 0), truth("yes", true), weights("w", 3, 2)],
  );

test("a Loop over a bound dimension runs as ONNX Runtime runs it, and has gradients", async () => {
  const forward = await checkFile(file(rnn()), cpu, { len: 4, batch: 2 });
  assert.equal(ops([...forward.nodes]).filter((op) => op === "Tanh").length, 4);
  assert.deepEqual(
    forward.nodes.map(({ name }) => name).filter((name) => name.includes("Tanh")),
    ["/rnn/Tanh.0", "/rnn/Tanh.1", "/rnn/Tanh.2", "/rnn/Tanh.3"],
  );
});

test("a Loop's weights in its body are one parameter, whatever the trips; what does not depend on the trip is made once", async () => {
  const body = graph(
    ["t: int64[]", "go: bool[]", "h: float32"],
    [
      node("xt = Gather(x, t)", { axis: 0 }),
      node("turned = Transpose(v)", { perm: [1, 0] }),
      node("p = MatMul(xt, turned)"),
      node("s = Add(p, h)"),
      node("next = Tanh(s)"),
      node("on = Constant()", {
        value: { type: "tensor", value: { dtype: "bool", shape: [], data: Uint8Array.of(1) } },
      }),
    ],
    ["on: bool", "next: float32", "next: float32"],
    [weights("v", 2, 3)],
  );
  const whole = rnn(body);
  whole.initializer = whole.initializer?.slice(0, 2) ?? [];
  const forward = await checkFile(file(whole), cpu, { len: 3, batch: 2 });
  const parameters = [...forward.tensors.values()].filter(({ category }) => category === "parameter");
  assert.deepEqual(
    parameters.map(({ shape }) => [...shape]),
    [[2, 3]],
  );
  assert.equal(ops([...forward.nodes]).filter((op) => op === "Transpose").length, 1);
});

/** y·w while `next` says so, from i = 0: `next` is made of i. */
const whileLoop = (limit: number | undefined, next: ProtoNode[], start = true): ProtoGraph => {
  const body = graph(
    ["t: int64[]", "go: bool[]", "y: float32", "i: int64[]"],
    [node("z = Mul(y, w)"), node("j = Add(i, one)"), ...next],
    ["on: bool", "z: float32", "j: int64", "z: float32"],
  );
  return graph(
    ["x: float32[2,3]"],
    [node(`y, j, all = Loop(${limit === undefined ? "" : "m"}, go, x, i0)`, { body }, "Loop")],
    ["y: float32", "j: int64", "all: float32"],
    [int("m", limit ?? 0), truth("go", start), int("i0", 0), int("one", 1), weights("w", 3)],
  );
};

test("a condition that follows from constants ends a Loop at its trip, with a limit or without one", async () => {
  for (const [limit, bar, trips] of [
    [undefined, 3, 3],
    [undefined, 11, 11],
    [2, 3, 2],
    [2 ** 62, 5, 5],
    [6, 6, 6],
  ] as const) {
    const whole = whileLoop(limit, [node("on = Less(j, bar)")]);
    whole.initializer?.push(int("bar", bar));
    const forward = await checkFile(file(whole), cpu);
    assert.equal(ops([...forward.nodes]).filter((op) => op === "Mul").length, trips, `${limit} ${bar}`);
  }
});

test("trip count and condition have the types that ONNX gives them", () => {
  const whole = whileLoop(4, [node("on = Identity(go)")]);
  const changed = (name: string, type: "float32" | "int32"): ProtoGraph => ({
    ...whole,
    initializer: whole.initializer?.map((one) => (one.name === name ? held(name, type, [], [1]) : one)),
  });
  assert.throws(
    () => bound(file(changed("m", "float32")), {}, cpu),
    /^Error: m is float32, not int64: Loop takes it for its trip count \(node Loop\)$/,
  );
  assert.throws(() => bound(file(changed("m", "int32")), {}, cpu), /m is int32, not int64/);
  assert.throws(() => bound(file(changed("go", "float32")), {}, cpu), /go is float32, not bool: .* its condition/);
});

test("a trip that would not fit is not tried where it does not run", async () => {
  // a table says how long: reading behind its end is an error
  const whole = whileLoop(undefined, [node("on = Gather(table, i)", { axis: 0 })]);
  whole.initializer?.push(held("table", "bool", [3], [1, 1, 0]));
  const forward = await checkFile(file(whole), cpu);
  assert.equal(ops([...forward.nodes]).filter((op) => op === "Mul").length, 3);
});

test("a Loop that does not start hands on what it was given; its scan output is refused only if it is needed", async () => {
  const whole = whileLoop(4, [node("on = Identity(go)")], false);
  assert.throws(() => bound(file(whole), {}, cpu), /Loop makes no output 2: it runs for no trip \(node Loop\)/);
  const graphOnly: ProtoGraph = {
    ...whole,
    node: [...(whole.node ?? []), node("r = Mul(y, w)")],
    output: [{ name: "r", type: { tensorType: { elemType: 1 } } }],
  };
  await checkFile(file(graphOnly), cpu);
});

test("loops in loops and branches in loops, by names of each level", async () => {
  const inner = graph(
    ["k: int64[]", "on1: bool[]", "a: float32"],
    [node("f = Cast(k)", { to: 1 }), node("g = Add(f, w)"), node("b = Mul(a, g)"), node("on2 = Identity(on1)")],
    ["on2: bool", "b: float32"],
  );
  const branch = (op: string): ProtoGraph => graph([], [node(`r = ${op}(b)`)], ["r: float32"]);
  const body = graph(
    ["t: int64[]", "go: bool[]", "x1: float32"],
    [
      node("times = Add(t, one)"),
      node("b = Loop(times, , x1)", { body: inner }, "Inner"),
      node("even = Equal(t, one)"),
      node("c = If(even)", { then_branch: branch("Tanh"), else_branch: branch("Sin") }),
      node("on = Identity(go)"),
    ],
    ["on: bool", "c: float32", "b: float32"],
  );
  const whole = graph(
    ["x: float32[2,2]"],
    [node("y, all = Loop(m, go, x)", { body }, "Outer")],
    ["y: float32", "all: float32"],
    [int("m", 3), truth("go", true), int("one", 1), weights("w", 2)],
  );
  const forward = await checkFile(file(whole), cpu);
  const count = (op: string): number => ops([...forward.nodes]).filter((one) => one === op).length;
  assert.deepEqual([count("Mul"), count("Tanh"), count("Sin")], [6, 1, 2]);
});

test("names that a loop would make are free, whatever the file has", async () => {
  const whole = rnn(rnnBody, [
    node("/rnn/Loop/run/0/next = Neg(h0)", {}, "/rnn/Tanh.0"),
    node("/rnn/Loop/made/0/const_0 = Neg(/rnn/Loop/run/0/next)", {}, "/rnn/Add.1"),
  ]);
  whole.output?.push({ name: "/rnn/Loop/made/0/const_0", type: { tensorType: { elemType: 1 } } });
  await checkFile(file(whole), cpu, { len: 3, batch: 2 });
});

test("a Loop that data or a graph input decides is refused, with what to do", () => {
  const byData = whileLoop(5, [node("s = ReduceSum(z)", { keepdims: 0 }), node("on = Less(s, bar)")]);
  byData.initializer?.push(held("bar", "float32", [], [3]));
  assert.throws(
    () => bound(file(byData), {}, cpu),
    /^Error: unsupported: control flow Loop \(node Loop\); how often it runs must follow from dimensions and constants/,
  );
  const byInput = whileLoop(undefined, [node("on = Identity(go)")]);
  const [loop] = byInput.node ?? [];
  if (loop?.input) loop.input[0] = "times";
  byInput.input?.push({ name: "times", type: { tensorType: { elemType: 7, shape: { dim: [] } } } });
  assert.throws(() => bound(file(byInput), {}, cpu), /unsupported: control flow Loop \(node Loop\)/);
});

test("too many trips and loops without end are refused with the number", () => {
  const many = rnn();
  assert.throws(
    () => bound(file(many), { len: 5000, batch: 1 }, cpu),
    /Loop of 5000 trips: at most 4096 are written out \(node \/rnn\/Loop\); .*--dim/,
  );
  for (const limit of [undefined, 2 ** 62])
    assert.throws(
      () => bound(file(whileLoop(limit, [node("on = Identity(go)")])), {}, cpu),
      /Loop of trips without end: at most 4096 are written out \(node Loop\)/,
    );
  const growing = whileLoop(undefined, [node("on = Less(zero, j)")]);
  growing.initializer?.push(int("zero", 0));
  assert.throws(() => bound(file(growing), {}, cpu), /Loop of 4097 trips: at most 4096 are written out/);
});

test("loops that make too many nodes are refused with the number", () => {
  const inner = graph(
    ["k: int64[]", "p: bool[]", "a: float32"],
    [node("b = Sin(a)"), node("q = Identity(p)")],
    ["q: bool", "b: float32"],
  );
  const body = graph(
    ["t: int64[]", "go: bool[]", "x1: float32"],
    [node("b = Loop(m, , x1)", { body: inner }), node("on = Identity(go)")],
    ["on: bool", "b: float32"],
  );
  const whole = graph(["x: float32[2]"], [node("y = Loop(m, , x)", { body })], ["y: float32"], [int("m", 2000)]);
  assert.throws(() => bound(file(whole), {}, cpu), /loops make more than 100000 nodes .*--dim/);
});

const scanBody = graph(
  ["s: float32", "a: float32", "b: float32"],
  [node("p = Mul(a, b)"), node("q = MatMul(s, v)"), node("t = Add(q, p)"), node("u = Tanh(t)"), node("e = Mul(u, a)")],
  ["u: float32", "e: float32", "t: float32"],
  [weights("v", 3, 3)],
);

test("a Scan has axes and directions of inputs and outputs", async () => {
  const forms: readonly Readonly<Record<string, readonly number[]>>[] = [
    {},
    { scan_input_directions: [0, 1], scan_output_directions: [1, 0] },
    { scan_input_axes: [1, 0], scan_output_axes: [1, 0] },
    { scan_input_axes: [-2, 0], scan_output_axes: [-1, -2], scan_input_directions: [1, 1] },
  ];
  for (const attributes of forms) {
    const moved = "scan_input_axes" in attributes;
    const whole = graph(
      [moved ? "a: float32[2,len,3]" : "a: float32[len,2,3]", "b: float32[len,3]", "s0: float32[2,3]"],
      [node("s, e, t = Scan(s0, a, b)", { body: scanBody, num_scan_inputs: 2, ...attributes }, "Scan")],
      ["s: float32", "e: float32", "t: float32"],
    );
    const forward = await checkFile(file(whole), cpu, { len: 4 });
    assert.equal(ops([...forward.nodes]).filter((op) => op === "Tanh").length, 4);
  }
});

test("a Scan at opset 11 has axes as attributes", async () => {
  const whole = graph(
    ["a: float32[3,2,3]", "b: float32[3,3]", "s0: float32[2,3]"],
    [node("s, e, t = Scan(s0, a, b)", { body: scanBody, num_scan_inputs: 2 }, "Scan")],
    ["s: float32", "e: float32", "t: float32"],
  );
  await checkFile(file(whole, 11), cpu);
});

test("a Scan of lengths that differ, and one of too many trips, say so", () => {
  const scan = (a: number, b: number): Uint8Array =>
    file(
      graph(
        [`a: float32[${a},2,3]`, `b: float32[${b},3]`, "s0: float32[2,3]"],
        [node("s, e, t = Scan(s0, a, b)", { body: scanBody, num_scan_inputs: 2 }, "Scan")],
        ["s: float32"],
      ),
    );
  assert.throws(() => bound(scan(3, 4), {}, cpu), /shape mismatch: scanned axes of \[3,4\] elements \(node Scan\)/);
  assert.throws(() => bound(scan(9000, 9000), {}, cpu), /Scan of 9000 trips: at most 4096 are written out/);
});

test("the gradients of what trips of a Loop take of a tensor are put together once, not added up in tensors of its size", () => {
  const step = (take: string, more: ProtoNode[] = []) => {
    const body = graph(
      ["t: int64[]", "go: bool[]", "h: float32"],
      [...more, node(take, { axis: 0 }), node("s = Add(xt, h)"), node("next = Tanh(s)"), node("on = Identity(go)")],
      ["on: bool", "next: float32"],
    );
    const whole = graph(
      ["x: float32[len,2,3]", "h0: float32[2,1,1,2,3]"],
      [node("xw = MatMul(x, w)"), node("last = Loop(m, , h0)", { body })],
      ["last: float32"],
      [int("m", 50), weights("w", 3, 3), held("window", "int64", [2, 1, 1], [0, 3])],
    );
    const { graph: forward } = bound(file(whole), { len: 60 }, cpu);
    return trainingStep(forward, { loss: "mse", optimizer: "sgd" }).nodes.filter(({ phase }) => phase === "backward");
  };
  const count = (nodes: { op: string }[], op: string): number => ops(nodes).filter((one) => one === op).length;
  const rows = step("xt = Gather(xw, t)");
  assert.deepEqual(
    ["Concat", "Pad", "ScatterND", "ScatterElements"].map((op) => count(rows, op)),
    [1, 1, 0, 0],
  );
  // places of each trip in even steps: as many sums as overlap
  const windows = step("xt = Gather(xw, i)", [node("i = Add(window, t)")]);
  assert.equal(count(windows, "ScatterND"), 0);
});
