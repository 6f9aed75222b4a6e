import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { BatchTensor } from "../../src/data/batch.js";
import { type BatchesOptions, batchesOf } from "../../src/data/batches.js";
import type { Dataset } from "../../src/data/dataset.js";
import { epochOrder } from "../../src/data/order.js";

/** Samples [i, i + 0.5] with target i % 3. */
function numbers(count: number, more: Partial<Dataset> = {}): Dataset {
  return {
    name: "d",
    count,
    columns: [
      { name: "x", dtype: "float64", shape: [2] },
      { name: "y", dtype: "uint8", shape: [] },
    ],
    read: (column, indices) =>
      column === "x"
        ? Float64Array.from({ length: 2 * indices.length }, (_, i) => (indices[i >> 1] as number) + (i % 2) / 2)
        : Uint8Array.from(indices, (index) => index % 3),
    close: () => undefined,
    ...more,
  };
}

const batch: readonly BatchTensor[] = [
  { name: "input", dtype: "float32", shape: [4, 2], isTarget: false },
  { name: "target", dtype: "int64", shape: [4], limit: 3, ignoreIndex: -100, isTarget: true },
];

const options: BatchesOptions = { batch, batchSize: 4, last: "drop" };

async function all(data: Dataset, more: Partial<BatchesOptions> = {}) {
  const found = [];
  for await (const one of batchesOf(data, { ...options, ...more })) found.push(one);
  return found;
}

test("batchesOf gives batches in the tensors' element types, in the data's order without a seed", async () => {
  const [first, second] = await all(numbers(8));
  assert.deepEqual(first?.tensors, {
    input: Float32Array.of(0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5),
    target: BigInt64Array.of(0n, 1n, 2n, 0n),
  });
  assert.deepEqual(
    [first?.samples, first?.indices, second?.indices],
    [4, Int32Array.of(0, 1, 2, 3), Int32Array.of(4, 5, 6, 7)],
  );
});

test("batchesOf shuffles by seed and epoch, and goes on in the middle of an epoch", async () => {
  const data = numbers(22);
  const epoch = async (more: Partial<BatchesOptions>) => (await all(data, more)).flatMap(({ indices }) => [...indices]);
  const first = await epoch({ shuffle: 7 });
  assert.deepEqual(first, [...epochOrder(22, 7, 0).subarray(0, 20)]);
  assert.deepEqual(await epoch({ shuffle: 7 }), first);
  assert.notDeepEqual(await epoch({ shuffle: 7, epoch: 1 }), first);
  assert.notDeepEqual(await epoch({ shuffle: 8 }), first);
  assert.deepEqual(await epoch({ shuffle: 7, from: 3 }), first.slice(12));
  assert.deepEqual(await epoch({ shuffle: 7, from: 5 }), []);
  for (const { tensors, indices } of await all(data, { shuffle: 7, from: 3 }))
    assert.deepEqual(
      tensors.target,
      BigInt64Array.from(indices, (index) => BigInt(index % 3)),
    );
});

test("the last short batch is dropped, or padded from the epoch's start with ignored targets; which is said", async () => {
  const data = numbers(6);
  const dropped = batchesOf(data, options);
  assert.deepEqual([dropped.count, dropped.dropped, dropped.padded], [1, 2, 0]);
  assert.equal(dropped.note, "the last 2 samples of an epoch, too few for a batch of 4, are left out");
  const padded = batchesOf(data, { ...options, last: "pad" });
  assert.deepEqual([padded.count, padded.dropped, padded.padded], [2, 0, 2]);
  assert.equal(
    padded.note,
    "an epoch's last batch is padded by 2 samples from its start, with target -100, which the loss leaves out",
  );
  const [, last] = await all(data, { last: "pad" });
  assert.deepEqual([last?.samples, last?.indices], [2, Int32Array.of(4, 5, 0, 1)]);
  assert.deepEqual(last?.tensors.target, BigInt64Array.of(1n, 2n, -100n, -100n));
  assert.deepEqual(last?.tensors.input, Float32Array.of(4, 4.5, 5, 5.5, 0, 0.5, 1, 1.5));
  const [{ limit = 0, ...without }] = batch.slice(1).map(({ ignoreIndex: _, ...tensor }) => tensor) as [BatchTensor];
  const counting = [batch[0] as BatchTensor, { ...without, limit }];
  assert.match(
    batchesOf(data, { ...options, batch: counting, last: "pad" }).note ?? "",
    /by 2 samples from its start, which count in the loss$/,
  );
  assert.deepEqual(
    (await all(data, { batch: counting, last: "pad" }))[1]?.tensors.target,
    BigInt64Array.of(1n, 2n, 0n, 1n),
  );
  // fewer samples than a batch has, even than its padding
  assert.deepEqual((await all(numbers(1), { last: "pad" }))[0]?.indices, Int32Array.of(0, 0, 0, 0));
  assert.equal(batchesOf(numbers(8), { ...options, last: "pad" }).note, undefined);
});

test("batchesOf reads ahead while a batch is used, and no further", async () => {
  let read = 0;
  const data = numbers(40, {
    read: async (column, indices) => {
      if (column === "x") read++;
      return column === "x" ? new Float64Array(2 * indices.length) : new Uint8Array(indices.length);
    },
  });
  for (const ahead of [0, 1, 3]) {
    read = 0;
    let used = 0;
    for await (const _ of batchesOf(data, { ...options, ahead })) {
      used++;
      await setTimeout(5);
      assert.equal(read, Math.min(used + ahead, 10), `ahead ${ahead}, batch ${used}`);
    }
    assert.equal(used, 10);
  }
});

test("with reuse a batch stays what it is until the next but one is asked for", async () => {
  const seen: { at: number; input: Float32Array }[] = [];
  for await (const { tensors, indices } of batchesOf(numbers(80), { ...options, reuse: true })) {
    const last = seen.at(-1);
    if (last) assert.equal(last.input[0], last.at);
    await setTimeout(1);
    if (last) assert.equal(last.input[0], last.at);
    seen.push({ at: indices[0] as number, input: tensors.input as Float32Array });
    assert.equal(seen.at(-1)?.input[0], indices[0]);
  }
  assert.equal(new Set(seen.map(({ input }) => input)).size, 4);
});

test("whole numbers of an input are scaled where the data says so, targets and indices never", async () => {
  const data = numbers(4, {
    columns: [
      { name: "x", dtype: "uint8", shape: [2], scale: 1 / 4 },
      { name: "y", dtype: "uint8", shape: [], scale: 1 / 4 },
    ],
    read: (column, indices) => new Uint8Array((column === "x" ? 2 : 1) * indices.length).fill(2),
  });
  const [one] = await all(data);
  assert.deepEqual([one?.tensors.input?.[0], one?.tensors.target?.[0]], [0.5, 2n]);
});

test("an abort comes through while a batch is waited for, and nothing reads any more behind it", async () => {
  let reading = 0;
  const data = numbers(40, {
    read: async (column, indices) => {
      reading++;
      await setTimeout(20);
      reading--;
      return column === "x" ? new Float64Array(2 * indices.length) : new Uint8Array(indices.length);
    },
  });
  const stop = new AbortController();
  const batches = batchesOf(data, { ...options, batch: [batch[0] as BatchTensor], signal: stop.signal })[
    Symbol.asyncIterator
  ]();
  await batches.next();
  const next = batches.next();
  stop.abort(new Error("stopped"));
  await assert.rejects(next, /^Error: stopped$/);
  assert.equal(reading, 0);
  await assert.rejects(all(data, { signal: AbortSignal.abort(new Error("before")) }), /^Error: before$/);
  for await (const _ of batchesOf(data, options)) break;
  assert.equal(reading, 0);
});

test("an error while reading ahead is thrown where its batch is asked for", async () => {
  const data = numbers(40, {
    read: async (column, indices) => {
      if (column === "x" && indices[0] === 8) throw new Error("cannot read image: cats/7.png");
      return column === "x" ? new Float64Array(2 * indices.length) : new Uint8Array(indices.length);
    },
  });
  const got: number[] = [];
  await assert.rejects(async () => {
    for await (const { indices } of batchesOf(data, options)) {
      got.push(indices[0] as number);
      await setTimeout(5);
    }
  }, /cats\/7.png/);
  assert.deepEqual(got, [0, 4]);
});

test("batchesOf refuses in its call what can be known before anything is read", async () => {
  const refuse = (data: Dataset, more: Partial<BatchesOptions>, message: RegExp): void =>
    void assert.throws(() => batchesOf(data, { ...options, ...more }), message);
  refuse(numbers(3), {}, /d has 3 samples, a batch takes 4: none is filled \(pass last: "pad", or a smaller batch\)/);
  refuse(numbers(0), {}, /no samples in d/);
  refuse(numbers(8), { from: 3 }, /an epoch of d has 2 batches; there is none to go on with behind 3/);
  refuse(numbers(8), { batchSize: 0 }, /batchSize of batches is not a whole number from 1 on: 0/);
  refuse(numbers(8), { shuffle: -1 }, /shuffle of batches is not a whole number from 0 on: -1/);
  refuse(numbers(8), { ahead: 0.5 }, /ahead of batches is not a whole number from 0 on: 0.5/);
  refuse(numbers(8, { columns: [] }), {}, /no column for the target in d/);
  // before the first batch
  const wrong = numbers(9, {
    read: (column, indices) => (column === "x" ? new Float64Array(2 * indices.length) : Uint8Array.from(indices)),
  });
  const batches = batchesOf(wrong, options)[Symbol.asyncIterator]();
  await assert.rejects(
    batches.next(),
    /^Error: 3 in column y of d is out of range \(sample 3, from 0\): the model has classes 0 to 2, ignore_index -100$/,
  );
});
