import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type Attributes, float, int, ints } from "../../src/graph/graph.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { lower } from "../../src/step/lower.js";
import { addNormalized, buildSample, distance, graphOf, loaded, type Values } from "../sampled.js";
import { type SampleInput, tensor } from "../samples/sample.js";

// Forms that have no kernel on the CPU, against others that have one or against their formulas.

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

/** Output 0 of a node, for seeded inputs or given values of them. */
async function outputOf(
  op: string,
  inputs: readonly (SampleInput | undefined)[],
  attributes: Attributes = {},
  given?: Values,
): Promise<{ y: number[]; values: Values }> {
  const { b, node, values } = buildSample({ op, inputs, attributes }, "float32");
  const [y = ""] = addNormalized(b, node, { op, inputs, attributes, opsets: [21] });
  const step = loaded(lower(graphOf(b, [y]), cpu.hasKernel), cpu);
  const result = (await step.run(given ?? values)).get(y) as number[];
  step.close();
  return { y: result, values: given ?? values };
}

/** Values [a, b, …, n] in the order of other axes: element [i₀, i₁, …] of the result is that of [i at perm]. */
function transposed(values: readonly number[], shape: readonly number[], perm: readonly number[]): number[] {
  const out = perm.map((axis) => shape[axis] as number);
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((p, n) => p * n, 1));
  return values.map((_, i) => {
    let [rest, from] = [i, 0];
    for (let axis = out.length - 1; axis >= 0; axis--) {
      from += (rest % (out[axis] as number)) * (strides[perm[axis] as number] as number);
      rest = Math.floor(rest / (out[axis] as number));
    }
    return values[from] as number;
  });
}

const of = (values: Values, i: number): number[] => values.get(`x${i}`) as number[];

test("MultiHeadAttention of packed Q, K and V is that of the three", async () => {
  const attributes = { num_heads: int(2) };
  const op = "com.microsoft:MultiHeadAttention";
  const packed = await outputOf(op, [tensor([2, 3, 2, 3, 4])], attributes);
  const rows = transposed(of(packed.values, 0), [2, 3, 2, 3, 4], [3, 0, 1, 2, 4]);
  const three = new Map([0, 1, 2].map((i) => [`x${i}`, rows.slice(48 * i, 48 * (i + 1))]));
  const apart = await outputOf(op, new Array<SampleInput>(3).fill(tensor([2, 3, 8])), attributes, three);
  assert.ok(distance(packed.y, apart.y) < 1e-6);
});

test("MultiHeadAttention of packed K and V is that of the two", async () => {
  const attributes = { num_heads: int(2) };
  const op = "com.microsoft:MultiHeadAttention";
  const packed = await outputOf(op, [tensor([2, 3, 8]), tensor([2, 5, 2, 2, 4])], attributes);
  const rows = transposed(of(packed.values, 1), [2, 5, 2, 2, 4], [3, 0, 1, 2, 4]);
  const two = new Map([...packed.values, ["x1", rows.slice(0, 80)], ["x2", rows.slice(80)]] as [string, number[]][]);
  const apart = await outputOf(op, [tensor([2, 3, 8]), tensor([2, 5, 8]), tensor([2, 5, 8])], attributes, two);
  assert.ok(distance(packed.y, apart.y) < 1e-6);
});

test("NhwcConv is Conv of axes in another order", async () => {
  const [X, W] = [
    [2, 4, 3, 2],
    [3, 2, 2, 2],
  ] as const;
  const attributes = { pads: ints([1, 0, 0, 1]), strides: ints([2, 1]) };
  const last = await outputOf("com.microsoft:NhwcConv", [tensor(X), tensor(W), tensor([3])], attributes);
  const moved = new Map([
    ["x0", transposed(of(last.values, 0), X, [0, 3, 1, 2])],
    ["x1", transposed(of(last.values, 1), W, [0, 3, 1, 2])],
    ["x2", of(last.values, 2)],
  ]);
  const first = await outputOf("Conv", [tensor([2, 2, 4, 3]), tensor(W), tensor([3])], attributes, moved);
  assert.ok(distance(last.y, transposed(first.y, [2, 3, 2, 3], [0, 2, 3, 1])) < 1e-6);
});

test("GroupNorm is GroupNormalization of channels that stand last; activation 1 is x·σ(x)", async () => {
  const [X, C] = [tensor([2, 3, 2, 4], [-2, 2]), tensor([4], [0.5, 1.5])];
  const norm = { epsilon: float(1e-3) };
  const last = await outputOf("com.microsoft:GroupNorm", [X, C, C], { ...norm, groups: int(2) });
  const moved = new Map([...last.values, ["x0", transposed(of(last.values, 0), [2, 3, 2, 4], [0, 3, 1, 2])]] as const);
  const first = await outputOf(
    "GroupNormalization",
    [tensor([2, 4, 3, 2]), C, C],
    { ...norm, num_groups: int(2) },
    moved,
  );
  assert.ok(distance(last.y, transposed(first.y, [2, 4, 3, 2], [0, 2, 3, 1])) < 1e-6);
  const active = await outputOf("com.microsoft:GroupNorm", [X, C, C], { ...norm, groups: int(2), activation: int(1) });
  assert.ok(
    distance(
      active.y,
      last.y.map((v) => v / (1 + Math.exp(-v))),
    ) < 1e-6,
  );
  const skip = tensor([2, 1, 1, 4]);
  const sum = await outputOf("com.microsoft:SkipGroupNorm", [X, C, C, skip, C], { ...norm, groups: int(2) });
  const [x, s, bias] = [0, 3, 4].map((i) => of(sum.values, i)) as [number[], number[], number[]];
  const added = x.map((v, i) => v + (s[Math.floor(i / 24) * 4 + (i % 4)] as number) + (bias[i % 4] as number));
  const plain = await outputOf(
    "com.microsoft:GroupNorm",
    [X, C, C],
    { ...norm, groups: int(2) },
    new Map([...sum.values, ["x0", added]]),
  );
  assert.ok(distance(sum.y, plain.y) < 1e-6);
});

test("BiasSplitGelu, BiasAdd, BiasSoftmax and GemmFastGelu are their formulas", async () => {
  const gelu = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
  const split = await outputOf("com.microsoft:BiasSplitGelu", [tensor([2, 2, 6]), tensor([6])]);
  const at = (row: number, i: number): number =>
    (of(split.values, 0)[row * 6 + i] as number) + (of(split.values, 1)[i] as number);
  const halves = Array.from(
    { length: 12 },
    (_, i) => at(Math.floor(i / 3), i % 3) * gelu(at(Math.floor(i / 3), 3 + (i % 3))),
  );
  // the tanh is within 1e-3 of the error function
  assert.ok(distance(split.y, halves) < 2e-3);
  const added = await outputOf("com.microsoft:BiasAdd", [tensor([2, 3]), tensor([3]), tensor([2, 3])]);
  const [x, bias, skip] = [0, 1, 2].map((i) => of(added.values, i)) as [number[], number[], number[]];
  const sums = x.map((v, i) => v + (bias[i % 3] as number) + (skip[i] as number));
  assert.ok(distance(added.y, sums) < 1e-6);
  const soft = await outputOf("com.microsoft:BiasSoftmax", [tensor([2, 2, 3]), tensor([1, 2, 3])], { axis: int(1) });
  const powers = of(soft.values, 0).map((v, i) => Math.exp(v + (of(soft.values, 1)[i % 6] as number)));
  const totals = [0, 6].map((from) => powers.slice(from, from + 6).reduce((p, q) => p + q, 0));
  const shares = powers.map((v, i) => v / (totals[Math.floor(i / 6)] as number));
  assert.ok(distance(soft.y, shares) < 1e-6);
  const gemm = await outputOf("com.microsoft:GemmFastGelu", [tensor([2, 3]), tensor([3, 2]), tensor([2])]);
  const [a, w, c] = [0, 1, 2].map((i) => of(gemm.values, i)) as [number[], number[], number[]];
  const product = [0, 1, 2, 3].map((i) => {
    const [row, column] = [i >> 1, i % 2];
    return [0, 1, 2].reduce(
      (sum, k) => sum + (a[row * 3 + k] as number) * (w[k * 2 + column] as number),
      c[column] as number,
    );
  });
  assert.ok(distance(gemm.y, product.map(gelu)) < 1e-5);
});

test("ops refuse what they do not build, by name and node", async () => {
  const refused = (
    op: string,
    inputs: readonly (SampleInput | undefined)[],
    attributes: Attributes,
  ): Promise<unknown> => outputOf(`com.microsoft:${op}`, inputs, attributes);
  const x = tensor([1, 2, 4]);
  await assert.rejects(
    refused("Attention", [x, tensor([4, 12]), tensor([12])], { num_heads: int(2), do_rotary: int(1) }),
    /^Error: unsupported: do_rotary of Attention \(node node\)$/,
  );
  const mask: SampleInput = { dtype: "int32", shape: [1, 1, 4, 4], values: new Array(16).fill(1) };
  await assert.rejects(
    refused("Attention", [x, tensor([4, 12]), tensor([12]), mask], { num_heads: int(2) }),
    /^Error: unsupported: mask \[1,1,4,4\] of Attention \(node node\)$/,
  );
  await assert.rejects(
    refused("Attention", [x, tensor([4, 12]), tensor([12])], { num_heads: int(3) }),
    /^Error: shape mismatch: X \[1,2,4\] for W \[4,12\], bias \[12\] in 3 heads/,
  );
  await assert.rejects(
    refused("FusedConv", [tensor([1, 1, 3]), tensor([1, 1, 2])], { activation: { type: "string", value: "toString" } }),
    /^Error: unsupported: activation toString of FusedConv \(node node\)$/,
  );
  const total: SampleInput = { dtype: "int32", shape: [1], values: [5] };
  const past = tensor([1, 1, 3, 4]);
  await assert.rejects(
    refused("GroupQueryAttention", [x, x, x, past, past, total, total], { num_heads: int(1), kv_num_heads: int(1) }),
    /^Error: GroupQueryAttention with past keys needs a constant total_sequence_length \(node node\); /,
  );
});
