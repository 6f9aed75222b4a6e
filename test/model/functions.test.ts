import assert from "node:assert/strict";
import { test } from "node:test";
import { inlined } from "../../src/model/functions.js";
import type { ProtoFunction, ProtoNode } from "../../src/model/onnx-proto.js";

const leak: ProtoFunction = {
  name: "Leak",
  domain: "f",
  input: ["a"],
  output: ["b"],
  attributeProto: [{ name: "slope", type: 1, f: 0.25 }],
  node: [
    {
      opType: "LeakyRelu",
      input: ["a"],
      output: ["t"],
      attribute: [{ name: "alpha", type: 1, refAttrName: "slope" }],
    },
    { opType: "Neg", name: "last", input: ["t"], output: ["b"] },
  ],
};

const calls = (...attribute: NonNullable<ProtoNode["attribute"]>): ProtoNode[] => [
  { opType: "Leak", domain: "f", name: "call", input: ["x"], output: ["y"], attribute },
];

test("inlined(nodes, functions, unreadable) names a function's nodes and tensors after the call, its ends as the call does", () => {
  const made = inlined(calls(), [leak], new Map());
  assert.deepEqual(
    made.map(({ name, opType, input, output }) => `${name}: ${output} = ${opType}(${input})`),
    ["call/LeakyRelu_0: call/t = LeakyRelu(x)", "call/last: y = Neg(call/t)"],
  );
});

test("inlined(nodes, functions, unreadable) gives a function's nodes the call's attributes, else the function's own", () => {
  const alpha = (nodes: readonly ProtoNode[]) => nodes[0]?.attribute?.map(({ name, f }) => [name, f]);
  assert.deepEqual(alpha(inlined(calls({ name: "slope", type: 1, f: 0.5 }), [leak], new Map())), [["alpha", 0.5]]);
  assert.deepEqual(alpha(inlined(calls(), [leak], new Map())), [["alpha", 0.25]]);
  const { attributeProto: _, ...bare } = leak;
  assert.deepEqual(alpha(inlined(calls(), [bare], new Map())), []);
});

test("inlined(nodes, functions, unreadable) refuses a function that calls itself, and leaves ops of other domains alone", () => {
  const self = { ...leak, node: calls() };
  const why = new Map<string, Error>();
  assert.deepEqual(inlined(calls(), [self], why), []);
  assert.equal(why.get("y")?.message, "function calls itself: Leak (node call)");
  const other = [{ ...(calls()[0] as ProtoNode), domain: "g" }];
  assert.deepEqual(inlined(other, [leak], new Map()), other);
});

/** Functions F0 to F29, each of which calls the next one four times. */
const growing = Array.from({ length: 30 }, (_, i): ProtoFunction => {
  const call = { opType: `F${i + 1}`, domain: "f", name: "c", input: ["a"], output: ["b"] };
  return { name: `F${i}`, domain: "f", input: ["a"], output: ["b"], node: Array<ProtoNode>(4).fill(call) };
});

test("inlined(nodes, functions, unreadable) makes nothing of a call that would make too many nodes", () => {
  let reads = 0;
  const counted = growing.map(({ node, ...rest }) => ({
    ...rest,
    get node() {
      reads++;
      return node;
    },
  }));
  const why = new Map<string, Error>();
  const call = { opType: "F0", domain: "f", name: "n", input: ["x"], output: ["y"] };
  assert.deepEqual(inlined([call, ...calls()], [...counted, leak], why).length, 2);
  assert.equal(why.get("y")?.message, "functions make more than 200000 nodes: F0");
  assert.ok(reads < 30 * 10, `${reads} looks at functions`);
});

test("inlined(nodes, functions, unreadable, outputs) leaves calls as they are that the outputs do not need", () => {
  const why = new Map<string, Error>();
  const unneeded = { opType: "F0", domain: "f", name: "n", input: ["y"], output: ["z"] };
  const inside: ProtoNode = {
    opType: "If",
    name: "if",
    input: ["on"],
    output: ["w"],
    attribute: [{ name: "then_branch", type: 5, g: { node: [{ opType: "Neg", input: ["y"], output: ["v"] }] } }],
  };
  const made = inlined([...calls(), unneeded, inside], [...growing, leak], why, ["w"]);
  assert.deepEqual(
    made.map(({ name }) => name),
    ["call/LeakyRelu_0", "call/last", "n", "if"],
  );
  assert.equal(why.size, 0);
});
