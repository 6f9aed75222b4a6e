import assert from "node:assert/strict";
import { test } from "node:test";
import { compile } from "../../src/plan/compiled.js";
import { Lifetimes } from "../../src/plan/lifetimes.js";
import { chain } from "../swaps.js";

const graph = compile(
  chain,
  chain.nodes.map(() => 1),
);
const all = graph.activations.map(() => true);
const none = graph.activations.map(() => false);
const names = [...chain.tensors.keys()];
const rankOf = (name: string): number => chain.nodes.findIndex((node) => node.name === name);

test("Lifetimes: what only the backward phase reads, through what only it needs, may run in blocks only", () => {
  const namesOf = ({ dispensable }: Lifetimes): string[] =>
    chain.nodes.flatMap(({ name }, rank) => (dispensable[rank] ? [name] : []));
  // f is saved for g: if it is made again right before, nothing needs what leads to it earlier
  assert.deepEqual(namesOf(new Lifetimes(graph, chain, all, none)), ["a", "b", "c", "d", "e", "f"]);
  assert.deepEqual(namesOf(new Lifetimes(graph, chain, none, none)), []);
});

test("Lifetimes: a kept activation's last reader could write over it; what dies there anyway is written over already", () => {
  const lifetimes = new Lifetimes(graph, chain, none, none);
  const value = (name: string) => lifetimes.values.find(({ tensor }) => names[tensor] === name) ?? assert.fail(name);
  assert.equal(value("a").sure, rankOf("b"));
  assert.ok(lifetimes.mayOverwrite(rankOf("b"), value("a")));
  assert.ok(!lifetimes.mayOverwrite(rankOf("d"), value("c")));
  assert.deepEqual(
    chain.nodes.map((_, rank) => lifetimes.looseBytes(rank)),
    chain.nodes.map(() => 0),
  );
  assert.equal(lifetimes.lastReadOf(value("a")), rankOf("da"));
});
