import assert from "node:assert/strict";
import { test } from "node:test";
import { openTrainer } from "../../src/train/open-trainer.js";
import type { Evaluated } from "../../src/train/trainer.js";
import { at } from "../at.js";

const file = at("fixtures", "training", "conv.onnx");

const x = Float32Array.from({ length: 6 * 64 }, (_, i) => Math.sin(i));

const target = BigInt64Array.from({ length: 6 }, (_, i) => BigInt(i % 4));

const dataOf = async (trainer: Awaited<ReturnType<typeof openTrainer>>) =>
  Array.from(((await trainer.evaluate({ x })).y as Evaluated).data as Float32Array);

test("evaluate(…) sees the weights of now, changes none, and has memory of its own once it is called", async () => {
  const trainer = await openTrainer(file, { loss: "ce", optimizer: "sgd:lr=0.1", threads: 1 });
  assert.equal(trainer.evaluationBytes, 0);
  const first = await dataOf(trainer);
  assert.ok(trainer.evaluationBytes > 0);
  const state = trainer.state();
  assert.deepEqual(await dataOf(trainer), first);
  assert.deepEqual(trainer.state(), state);
  await trainer.step({ x, target });
  assert.notDeepEqual(await dataOf(trainer), first);
  trainer.load(state);
  assert.deepEqual(await dataOf(trainer), first);
  trainer.close();
});

test("evaluate(…) in float64 and in mixed precision gives nearly what it gives in float32", async () => {
  const made: number[][] = [];
  for (const precision of [undefined, "float64", "mixed:type=bfloat16"]) {
    const trainer = await openTrainer(file, {
      loss: "ce",
      optimizer: "sgd",
      threads: 1,
      ...(precision ? { precision } : {}),
    });
    const y = (await trainer.evaluate({ x })).y as Evaluated;
    assert.deepEqual([y.dtype, y.shape], [precision === "float64" ? "float64" : "float32", [6, 4]]);
    made.push(Array.from(y.data as Float32Array));
    trainer.close();
  }
  const off = (which: number): number =>
    Math.max(...(made[0] ?? []).map((v, i) => Math.abs(v - (made[which]?.[i] as number))));
  assert.ok(off(1) < 1e-5, String(off(1)));
  assert.ok(off(2) > 0 && off(2) < 2e-2, String(off(2)));
});
