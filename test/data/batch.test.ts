import assert from "node:assert/strict";
import { test } from "node:test";
import { type Batches, eachBatch, type LoadedBatch } from "../../src/data/batch.js";

const all = async (batches: Batches): Promise<LoadedBatch[]> => {
  const found: LoadedBatch[] = [];
  for await (const batch of eachBatch(batches)) found.push(batch);
  return found;
};

test("eachBatch takes lists, generators and async generators, of batches or of batches that say what is padding", async () => {
  const batch = { input: Float32Array.of(1, 2), target: [0n] as unknown as number[] };
  const loaded = { tensors: batch, samples: 1, indices: Int32Array.of(4) };
  async function* asynchronous() {
    yield batch;
    yield loaded;
  }
  function* synchronous() {
    yield* [batch, loaded];
  }
  for (const source of [[batch, loaded], synchronous(), asynchronous()])
    assert.deepEqual(await all(source), [{ tensors: batch }, loaded]);
  // a tensor may be called `tensors`
  assert.deepEqual(await all([{ tensors: Float32Array.of(1) }]), [{ tensors: { tensors: Float32Array.of(1) } }]);
});

test("eachBatch stops its source where it is stopped", async () => {
  let isStopped = false;
  async function* source() {
    try {
      for (;;) yield { x: [1] };
    } finally {
      isStopped = true;
    }
  }
  for await (const _ of eachBatch(source())) break;
  assert.ok(isStopped);
});

test("eachBatch says what is no batch", async () => {
  await assert.rejects(
    all([null as never]),
    /a batch is no record of arrays by tensor names: give \{ input, target \}/,
  );
  await assert.rejects(all([Float32Array.of(1) as never]), /a batch is no record of arrays/);
  await assert.rejects(all([{ x: "1" as never }]), /a batch's x is neither a typed array nor a list of numbers/);
});
