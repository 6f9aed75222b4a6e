import assert from "node:assert/strict";
import { test } from "node:test";
import type { DType } from "../../../../src/graph/graph.js";
import { randomFrom } from "../../../../src/graph/random.js";
import { bytesOf, valuesOf } from "../../../../src/graph/values.js";
import {
  type AttentionShape,
  attentionSource,
  type Pass,
  type Strides,
  type Tiling,
} from "../../../../src/runtime/gpu/source/attention.js";
import type { Kind } from "../../../../src/runtime/gpu/source/attention-instructions.js";
import { emulate } from "./attention-host.js";
import { compiled, onHost, place, placed } from "./on-host.js";

const random = randomFrom(11);

const dtypeOf = (kind: Kind): DType => (kind === "tf32" ? "float32" : kind);

interface Case {
  readonly batch: number;
  readonly heads: number;
  readonly kvHeads?: number;
  readonly queries: number;
  readonly keys: number;
  readonly width: number;
  readonly ahead?: number;
  /** Extents of the mask, 1 where it is broadcast. */
  readonly mask?: readonly [number, number, number, number];
  readonly positionsFirst?: true;
}

/** Strides of [batch, heads, positions, width], or of [batch, positions, heads, width]. */
const stridesOf = (heads: number, positions: number, width: number, positionsFirst: boolean): Strides =>
  positionsFirst
    ? [positions * heads * width, width, heads * width]
    : [heads * positions * width, positions * width, width];

const numbersOf = (count: number): number[] => Array.from({ length: count }, () => 2 * random() - 1);

function shapeOf(one: Case): AttentionShape {
  const { batch, heads, kvHeads = heads, queries, keys, width, ahead, mask, positionsFirst = false } = one;
  const q = stridesOf(heads, queries, width, positionsFirst);
  const k = stridesOf(kvHeads, keys, width, positionsFirst);
  const strides = mask?.map((extent, axis) => (extent === 1 ? 0 : mask.slice(axis + 1).reduce((a, z) => a * z, 1)));
  return {
    batch,
    heads,
    kvHeads,
    queries,
    keys,
    width,
    scale: 1 / Math.sqrt(width),
    ahead,
    zeroHidden: false,
    mask: strides && { dtype: "float32", strides: strides as unknown as [number, number, number, number] },
    strides: { q, k, v: k, y: q },
  };
}

interface Results {
  readonly y: number[];
  readonly dq: number[];
  readonly dk: number[];
  readonly dv: number[];
}

/** The definition, in float64. */
function definition(
  shape: AttentionShape,
  given: { q: number[]; k: number[]; v: number[]; dy: number[]; mask: number[] },
): Results {
  const { batch, heads, kvHeads, queries, keys, width, scale, ahead, mask, strides } = shape;
  const { q, k, v, dy } = given;
  const zeros = (like: number[]): number[] => like.map(() => 0);
  const result: Results = { y: zeros(q), dq: zeros(q), dk: zeros(k), dv: zeros(v) };
  const add = (to: number[], at: number, value: number): void => {
    to[at] = (to[at] as number) + value;
  };
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < heads; h++) {
      const kh = Math.floor(h / (heads / kvHeads));
      const at = (s: Strides, head: number, position: number): number => b * s[0] + head * s[1] + position * s[2];
      for (let i = 0; i < queries; i++) {
        const row = at(strides.q, h, i);
        const scores = Array.from({ length: keys }, (_, j) => {
          if (ahead !== undefined && j > i + ahead) return Number.NEGATIVE_INFINITY;
          let sum = 0;
          for (let c = 0; c < width; c++) sum += (q[row + c] as number) * (k[at(strides.k, kh, j) + c] as number);
          const m = mask?.strides;
          return sum * scale + (m ? (given.mask[b * m[0] + h * m[1] + i * m[2] + j * m[3]] as number) : 0);
        });
        const most = Math.max(...scores);
        const powers = scores.map((score) => Math.exp(score - most));
        const total = powers.reduce((a, z) => a + z, 0);
        const shares = powers.map((power) => power / total);
        const through = shares.map((share, j) => {
          let sum = 0;
          for (let c = 0; c < width; c++) {
            const value = at(strides.v, kh, j) + c;
            add(result.y, row + c, share * (v[value] as number));
            add(result.dv, value, share * (dy[row + c] as number));
            sum += (dy[row + c] as number) * (v[value] as number);
          }
          return sum;
        });
        const mean = through.reduce((sum, d, j) => sum + d * (shares[j] as number), 0);
        shares.forEach((share, j) => {
          const d = share * ((through[j] as number) - mean) * scale;
          for (let c = 0; c < width; c++) {
            const key = at(strides.k, kh, j) + c;
            add(result.dq, row + c, d * (k[key] as number));
            add(result.dk, key, d * (q[row + c] as number));
          }
        });
      }
    }
  return result;
}

/** What the kernels give, and what the definition gives. */
function both(kind: Kind, one: Case, tiling: Tiling): { actual: Results; expected: Results } {
  const shape = shapeOf(one);
  const dtype = dtypeOf(kind);
  const { batch, heads, kvHeads, queries, keys, width } = shape;
  const rounded = (count: number): number[] => valuesOf(dtype, bytesOf(dtype, numbersOf(count)));
  const [qCount, kCount] = [batch * heads * queries * width, batch * kvHeads * keys * width];
  const mask = numbersOf((one.mask ?? [1]).reduce((a, z) => a * z, 1)).map((x) =>
    x < -0.7 ? (x < -0.9 ? Number.NEGATIVE_INFINITY : -3.4028234663852886e38) : Math.fround(x),
  );
  const given = { q: rounded(qCount), k: rounded(kCount), v: rounded(kCount), dy: rounded(qCount), mask };
  const sources = new Map(
    (["forward", "queries", "keys"] as Pass[]).map((pass) => [
      pass,
      emulate(attentionSource(pass, kind, shape, tiling), kind),
    ]),
  );
  const run = compiled([...sources.values()]);
  const at = (values: readonly number[]): Uint8Array => placed(bytesOf(dtype, values));
  const [q, k, v, dy] = [given.q, given.k, given.v, given.dy].map(at) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const m = placed(bytesOf("float32", mask));
  const size = bytesOf(dtype, [0]).length;
  const [y, dq] = [place(qCount * size), place(qCount * size)];
  const [dk, dv] = [place(kCount * size), place(kCount * size)];
  const statistics = place(2 * batch * heads * queries * 4);
  const delta = place(batch * heads * queries * 4);
  const go = (pass: Pass, operands: Uint8Array[]): void => run(sources.get(pass) as never, operands);
  go("forward", [q, k, v, m, y, statistics]);
  go("queries", [q, k, v, m, y, dy, statistics, dq, delta]);
  go("keys", [q, k, v, m, dy, statistics, delta, dk, dv]);
  const read = (bytes: Uint8Array): number[] => valuesOf(dtype, bytes);
  return { actual: { y: read(y), dq: read(dq), dk: read(dk), dv: read(dv) }, expected: definition(shape, given) };
}

/** The largest difference, beside the largest value. */
function difference(a: readonly number[], z: readonly number[]): number {
  const largest = Math.max(...z.map(Math.abs));
  return Math.max(...a.map((x, i) => Math.abs(x - (z[i] as number)))) / largest;
}

const tolerance: Readonly<Record<string, number>> = { bfloat16: 2e-2, tf32: 2e-3 };

const base: Case = { batch: 2, heads: 2, queries: 40, keys: 40, width: 16 };

const cases: Readonly<Record<string, Case>> = {
  "no mask": base,
  "more keys, positions first": { ...base, keys: 70, positionsFirst: true },
  causal: { ...base, queries: 70, keys: 70, width: 24, ahead: 0 },
  "causal behind earlier keys": { ...base, queries: 20, keys: 50, ahead: 30 },
  "keys that no query sees": { ...base, queries: 20, keys: 70, ahead: 2 },
  "a mask of keys": { ...base, mask: [2, 1, 1, 40] },
  "a mask of everything": { ...base, mask: [2, 2, 40, 40], ahead: 3, keys: 40 },
  "heads that share keys": { ...base, heads: 4, kvHeads: 2, ahead: 0 },
};

const tilings: readonly Tiling[] = [
  { mt: 1, warps: 2, bn: 32, stages: 2, keep: [true, true], blocks: 1 },
  { mt: 2, warps: 1, bn: 16, stages: 1, keep: [false, false], blocks: 1 },
];

for (const kind of ["bfloat16", "tf32"] as const)
  test(`attentionSource(…, ${kind}) gives the definition's values and gradients`, onHost, () => {
    for (const [name, one] of Object.entries(cases))
      for (const tiling of tilings) {
        const { actual, expected } = both(kind, one, tiling);
        for (const which of ["y", "dq", "dk", "dv"] as const) {
          const worst = difference(actual[which], expected[which]);
          assert.ok(
            worst < (tolerance[kind] as number),
            `${kind}, ${name}, ${JSON.stringify(tiling)}: ${which} differs by ${worst}`,
          );
        }
      }
  });
