import assert from "node:assert/strict";
import { test } from "node:test";
import { Link, pcieLink } from "../../src/plan/link.js";

const traits = { slowdown: 0, besideOther: { out: 0.5, in: 0.8 }, margin: 1 };

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
  const link = new Link(pcieLink);
  link.advance(100);
  const none = link.begin("in", 0);
  assert.equal(link.finish("in", none), 0);
  link.begin("out", 1);
  link.advance(0.25);
  assert.equal(link.finish("out", 0), 0.75);
});
