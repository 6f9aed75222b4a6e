import assert from "node:assert/strict";
import { test } from "node:test";
import { chosen, type Lying } from "../../src/step/attention-places.js";

/** 4 heads of 8 behind each of 2·5 positions, in a tensor with so many elements for each. */
const lying = (name: string, offset: number, cell: number, heads = 4, head = 8): Lying => ({
  name,
  view: { offset, strides: [5 * cell, head, cell] },
  sizes: [2, heads, 5, 8],
  count: 10 * cell,
});

const near = ["q", "k", "v"].map((name) => lying(name, 0, 32)) as [Lying, Lying, Lying];

const namesOf = (...joined: (readonly Lying[])[]): string[] | undefined =>
  chosen(near.map((one, i) => [one, ...(joined[i] ?? [])]) as unknown as Parameters<typeof chosen>[0])?.map(
    ({ name, isPart }) => name + (isPart ? "+" : ""),
  );

test("chosen(candidates) takes the tensor that the operands fill together", () => {
  assert.deepEqual(namesOf(), ["q", "k", "v"]);
  const all = [0, 32, 64].map((offset) => [lying("qkv", offset, 96)]);
  assert.deepEqual(namesOf(...all), ["qkv+", "qkv+", "qkv+"]);
  // parts of each head
  assert.deepEqual(namesOf(...[0, 8, 16].map((offset) => [lying("qkv", offset, 96, 4, 24)])), ["qkv+", "qkv+", "qkv+"]);
  // fewer heads of keys and values
  const fewer = [lying("qkv", 0, 64), lying("qkv", 32, 64, 2), lying("qkv", 48, 64, 2)].map((one) => [one]);
  assert.deepEqual(namesOf(...fewer), ["qkv+", "qkv+", "qkv+"]);
  // one behind the other as wholes, of any size
  const wholes = [0, 1, 2].map((i) => [
    {
      name: "qkv",
      view: { offset: i * 2 ** 26, strides: [2 ** 25, 2 ** 22, 2 ** 12] as const },
      sizes: [2, 8, 1024, 4096],
      count: 3 * 2 ** 26,
    },
  ]);
  assert.deepEqual(namesOf(...wholes), ["qkv+", "qkv+", "qkv+"]);
  const two = [[], ...[0, 32].map((offset) => [lying("kv", offset, 64)])];
  assert.deepEqual(namesOf(...two), ["q", "kv+", "kv+"]);
});

test("chosen(candidates) leaves tensors with places that no operand holds, or two", () => {
  const alone = ["q", "k", "v"];
  assert.deepEqual(namesOf(...[0, 32, 64].map((offset) => [lying("qkvr", offset, 128)])), alone);
  assert.deepEqual(namesOf(...[0, 32, 32].map((offset) => [lying("qkv", offset, 96)])), alone);
  assert.deepEqual(namesOf(...[0, 16, 64].map((offset) => [lying("qkv", offset, 96)])), alone);
  assert.deepEqual(namesOf([lying("other", 0, 96)], [lying("qkv", 32, 96)], [lying("qkv", 64, 96)]), alone);
  assert.equal(chosen([[lying("qkv", 0, 96)], [near[1]], [near[2]]]), undefined);
});
