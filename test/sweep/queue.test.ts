import assert from "node:assert/strict";
import { test } from "node:test";
import type { Point } from "../../src/sweep/manifest.js";
import { Queue } from "../../src/sweep/queue.js";

const point = (id: string): Point => ({
  id,
  index: 0,
  model: "m",
  options: { loss: "ce", optimizer: "sgd" },
  profile: id[0] as string,
});

const points = ["a1", "a2", "a3", "b1", "b2", "c1"].map(point);

const taken = (queue: Queue, profile?: string): string | undefined => queue.take(profile)?.id;

test("Queue: points of one measurement go to one worker until it is there, then whoever is free helps", () => {
  const queue = new Queue(points, () => false);
  assert.deepEqual([taken(queue), taken(queue), taken(queue)], ["a1", "b1", "c1"]);
  assert.equal(taken(queue, "c"), undefined, "a and b are being measured");
  queue.release(points[0]!, true);
  assert.equal(taken(queue, "a"), "a2");
  assert.equal(taken(queue, "c"), "a3", "the measurement of a is there");
  assert.equal(taken(queue, "a"), undefined);
  queue.release(points[3]!, false);
  assert.equal(taken(queue, "b"), "b2", "measured again by whoever had it");
  assert.equal(taken(queue), undefined);
});

test("Queue: what is there is not waited for, and what failed comes back", () => {
  const queue = new Queue(points.slice(0, 3), () => true);
  assert.deepEqual([taken(queue), taken(queue), taken(queue), taken(queue)], ["a1", "a2", "a3", undefined]);
  queue.release(points[1]!, true);
  queue.giveBack(points[1]!);
  assert.deepEqual([taken(queue), taken(queue)], ["a2", undefined]);
});
