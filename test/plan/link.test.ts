import assert from "node:assert/strict";
import { test } from "node:test";
import { arrivalMs, hiddenSwapMs, Link } from "../../src/plan/link.js";

const traits = {
  slowdown: { out: 0.1, in: 0.2 },
  besideOther: { out: 0.5, in: 0.8 },
  besideKernels: 1,
  awaitMs: 0.5,
  margin: 1,
};

test("Link: copies of one direction queue, and are complete in the order in which they begin", () => {
  const link = new Link(traits);
  const [first, second] = [link.begin("out", 2), link.begin("out", 3)];
  link.advance(1);
  assert.equal(link.finish("out", second), 4);
  assert.equal(link.finish("out", first), 0);
});

test("Link: while both directions are busy each is slower, alone again each has its own rate", () => {
  const link = new Link(traits);
  const out = link.begin("out", 3);
  const into = link.begin("in", 0.8);
  // in is complete after 1 ms, in which out has done 0.5 of its 3 ms
  assert.equal(link.finish("in", into), 1);
  assert.equal(link.finish("out", out), 2.5);
});

test("Link: time passes without copies, and copies of no time are complete at once", () => {
  const link = new Link({ ...traits, besideKernels: 0.5 });
  link.advance(100);
  const none = link.begin("in", 0);
  assert.equal(link.finish("in", none), 0);
  link.begin("out", 1);
  // beside kernels at half its rate
  link.advance(0.5);
  assert.equal(link.finish("out", 0), 0.75);
});

test("Link.doneMs(direction): when each copy was complete, by the time that has passed", () => {
  const link = new Link({ ...traits, besideKernels: 0.5 });
  link.advance(10);
  link.begin("out", 1);
  const last = link.begin("out", 2);
  link.begin("in", 0.25);
  // in goes on at 0.5 · 0.8 of its rate, out at 0.5 · 0.5
  link.advance(0.625);
  assert.deepEqual([link.doneMs("out"), link.doneMs("in")], [[], [10.625]]);
  link.finish("out", last);
  assert.deepEqual(link.doneMs("out"), [10.625 + 1 - 0.625 / 4, 10.625 + 3 - 0.625 / 4]);
  assert.equal(link.clockMs, 13.46875);
});

test("arrivalMs(…): the wait, the slowdown of nodes beside the rest of the copy, and the awaiting itself", () => {
  assert.equal(arrivalMs(traits, "out", 10, 0), 1.5);
  assert.equal(arrivalMs(traits, "out", 10, 4), 4 + 0.1 * 6 + 0.5);
  assert.equal(arrivalMs(traits, "in", 10, 12), 12.5, "waited for longer than it takes alone");
  assert.equal(hiddenSwapMs(10, traits), 1.5 + 2.5);
});

test("a copy whose time is not known is refused", () => {
  assert.throws(() => new Link(traits).begin("in", Number.NaN), { message: "time of a copy in is not known: NaN" });
});
