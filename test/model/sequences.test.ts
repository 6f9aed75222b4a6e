import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { ProtoNode } from "../../src/model/onnx-proto.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { bound, checkFile, file, graph, held, node } from "../written.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const int = (name: string, value: number) => held(name, "int64", [], [value]);

const ints = (name: string, ...values: number[]) => held(name, "int64", [values.length], values);

const weights = held("w", "float32", [3], [0.3, -0.7, 0.9]);

/** x [len,3] → y, by nodes. */
const whole = (nodes: ProtoNode[], ...constants: ReturnType<typeof held>[]) =>
  graph(["x: float32[len,3]"], nodes, ["y: float32"], [weights, ...constants]);

// what torch.jit.script writes of: for t in range(len(x)): h = h * w + x[t]; out.append(h); torch.stack(out)
test("a list that a loop fills is the tensors that it appends", async () => {
  for (const new_axis of [1, 0]) {
    const body = graph(
      ["t: int64[]", "go: bool[]", "h: float32", "list"],
      [
        node("xt = Gather(x, t)", { axis: 0 }),
        node("p = Mul(h, w)"),
        node("next = Add(p, xt)"),
        node("longer = SequenceInsert(list, next)"),
        node("on = Identity(go)"),
      ],
      ["on: bool", "next: float32", "longer"],
    );
    // ONNX Runtime asks for the types of sequences in a body
    const type = { sequenceType: { elemType: { tensorType: { elemType: 1 } } } };
    Object.assign(body.input?.[3] ?? {}, { type });
    Object.assign(body.output?.[2] ?? {}, { type });
    const bytes = file(
      whole(
        [
          node("empty = SequenceEmpty()"),
          node("shape = Shape(x)"),
          node("m = Gather(shape, zero)"),
          node("h, list = Loop(m, yes, h0, empty)", { body }),
          node("y = ConcatFromSequence(list)", { axis: 0, new_axis }),
        ],
        int("zero", 0),
        held("yes", "bool", [], [1]),
        held("h0", "float32", [3], [0.1, 0.2, 0.3]),
      ),
    );
    await checkFile(bytes, cpu, { len: 4 });
  }
});

test("SplitToSequence in pieces of one size, in sizes that are computed, and one by one", async () => {
  const forms: readonly { nodes: ProtoNode[]; constants?: ReturnType<typeof held>[] }[] = [
    { nodes: [node("s = SplitToSequence(x, two)", { axis: 0 })], constants: [int("two", 2)] },
    { nodes: [node("s = SplitToSequence(x, sizes)", { axis: -2 })], constants: [ints("sizes", 1, 3, 1)] },
    {
      nodes: [
        node("shape = Shape(x)", { start: 0, end: 1 }),
        node("rest = Sub(shape, one)"),
        node("sizes = Concat(one, rest)", { axis: 0 }),
        node("s = SplitToSequence(x, sizes)"),
      ],
      constants: [ints("one", 1)],
    },
    { nodes: [node("s = SplitToSequence(x)", { axis: 0, keepdims: 0 })] },
    { nodes: [node("s = SplitToSequence(x)", { axis: 0 })] },
  ];
  for (const { nodes, constants = [] } of forms) {
    const bytes = file(
      whole(
        [
          ...nodes,
          node("last = SequenceAt(s, minus)"),
          node("n = SequenceLength(s)"),
          node("f = Cast(n)", { to: 1 }),
          node("p = Mul(last, w)"),
          node("y = Add(p, f)"),
        ],
        int("minus", -1),
        ...constants,
      ),
    );
    await checkFile(bytes, cpu, { len: 5 });
  }
});

test("sequences are put together, inserted into and erased from at known places", async () => {
  const bytes = file(
    whole(
      [
        node("a = Sin(x)"),
        node("b = Cos(x)"),
        node("s = SequenceConstruct(x, a)"),
        node("t = SequenceInsert(s, b, zero)"),
        node("u = SequenceErase(t, minus)"),
        node("v = SequenceInsert(u, a)"),
        node("c = ConcatFromSequence(v)", { axis: -1 }),
        node("d = ConcatFromSequence(t)", { axis: -1, new_axis: 1 }),
        node("e = ReduceSum(c, axes)"),
        node("f = ReduceSum(d, axes)", { keepdims: 0 }),
        node("g = Mul(f, w)"),
        node("y = Add(e, g)"),
      ],
      int("zero", 0),
      int("minus", -2),
      ints("axes", -1),
    ),
  );
  await checkFile(bytes, cpu, { len: 2 });
});

test("SequenceMap runs its body for each tensor, with one set of weights", async () => {
  const body = graph(
    ["a: float32", "b: float32"],
    [node("p = Mul(a, v)"), node("q = Add(p, b)")],
    ["q: float32"],
    [held("v", "float32", [3], [0.5, -0.4, 0.2])],
  );
  const bytes = file(
    whole([
      node("s = SplitToSequence(x)", { axis: 0 }),
      node("t = SequenceMap(s, w)", { body }),
      node("y = ConcatFromSequence(t)", { axis: 0 }),
    ]),
  );
  const forward = await checkFile(bytes, cpu, { len: 3 });
  assert.equal([...forward.tensors.values()].filter(({ category }) => category === "parameter").length, 2);
});

test("places that are not there or depend on data are refused", () => {
  const at = (place: ReturnType<typeof held>[], more: ProtoNode[] = []): (() => unknown) => {
    const nodes = [
      ...more,
      node("s = SplitToSequence(x)"),
      node("p = SequenceAt(s, i)", {}, "at"),
      node("y = Mul(p, w)"),
    ];
    return () => bound(file(whole(nodes, ...place)), { len: 3 }, cpu);
  };
  assert.throws(at([int("i", 3)]), /^Error: SequenceAt at 3 of a sequence of 3 \(node at\)/);
  assert.throws(at([int("i", -4)]), /^Error: SequenceAt at -4 of a sequence of 3 \(node at\)/);
  const byData = [node("k = ArgMax(x)", { axis: 0, keepdims: 0 }), node("i = ReduceMax(k)", { keepdims: 0 })];
  assert.throws(at([], byData), /SequenceAt at an index that depends on data \(node at\); /);
  const long = whole([
    node("s = SplitToSequence(x)", {}, "split"),
    node("n = SequenceLength(s)"),
    node("f = Cast(n)", { to: 1 }),
    node("y = Add(f, w)"),
  ]);
  assert.throws(
    () => bound(file(long), { len: 5000 }, cpu),
    /sequence of 5000 tensors: at most 4096 are written out \(node split\)/,
  );
});
