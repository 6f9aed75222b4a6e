import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import type { Graph, GraphTrial } from "../../src/graph/graph.js";
import {
  fusedCount,
  jointName,
  lossPlace,
  memberOf,
  putTrial,
  readTrial,
  trialPieces,
} from "../../src/graph/trials.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";

const alone = { name: "m0", array: "m0", loss: "m0/loss" };
const fused = [1, 2].map((i) => ({ name: `m${i}`, array: "f0", index: i - 1, loss: "f0/losses" }));

const graph: Graph = {
  ...parseGraph(`graph(parameter float32[3] "m0/w", parameter float32[2,3] "f0/w") => ("m0/loss", "f0/losses") {
  "m0/loss" = ReduceSum<keepdims=0>("m0/w")
  "f0/losses" = ReduceSum<keepdims=0>("f0/w", int64[1]{1})
}`),
  trials: [alone, ...fused],
};

/** Two parameters in a flat buffer, and its momentum; alone and with two models. */
const flat = (count: number): Graph => {
  const within = (offsetBytes: number) => ({ within: { tensor: "f0/p", offsetBytes } });
  const tensors = [
    { name: "f0/p", shape: [3 * count], category: "parameter" as const },
    { name: "f0/a", shape: [count, 1], category: "parameter" as const, ...within(8 * count) },
    { name: "f0/b", shape: [count, 2], category: "parameter" as const, ...within(0) },
    { name: "f0/p.m", shape: [3 * count], category: "optimizer state" as const },
    { name: "f0/p.power", shape: [], category: "optimizer state" as const },
    { name: "f0/losses", shape: [count], category: "activation" as const },
  ].map((tensor) => ({ dtype: "float32" as const, ...tensor }));
  return {
    name: "flat",
    nodes: [],
    tensors: new Map(tensors.map((one) => [one.name, one])),
    inputs: [],
    outputs: [],
    state: [],
  };
};

/** The model alone: its buffer has the parameters the other way round. */
const own: Graph = {
  ...flat(1),
  tensors: new Map(
    [...flat(1).tensors.values()].map((tensor) => {
      const name = tensor.name.slice(3);
      const offsetBytes = name === "a" ? 0 : 4;
      return [name, { ...tensor, name, ...(tensor.within && { within: { tensor: "p", offsetBytes } }) }] as const;
    }),
  ),
};

const joint: Graph = { ...flat(2), trials: fused };

test("trialPieces(graph, trial, own, name) is the tensor of a trial alone, and its part of a fused one", () => {
  const place = (tensor: string, offsetBytes: number, bytes: number) => [{ ownOffset: 0, tensor, offsetBytes, bytes }];
  assert.deepEqual(trialPieces(graph, alone, graph, "w"), place("m0/w", 0, 12));
  const [first, second] = fused as [GraphTrial, GraphTrial];
  assert.deepEqual(trialPieces(joint, first, own, "b"), place("f0/b", 0, 8));
  assert.deepEqual(trialPieces(joint, second, own, "b"), place("f0/b", 8, 8));
  // what is one number is of both
  assert.deepEqual(trialPieces(joint, second, own, "p.power"), place("f0/p.power", 0, 4));
  assert.throws(() => trialPieces(graph, alone, graph, "v"), /^Error: unknown tensor: /);
});

test("putTrial and readTrial find a flat buffer's parameters wherever the joint one has them", () => {
  const values = new Map<string, Uint8Array>();
  fused.forEach((trial, i) => {
    for (const name of ["p", "p.m"])
      putTrial(
        values,
        joint,
        trialPieces(joint, trial, own, name),
        bytesOf(
          "float32",
          [1, 2, 3].map((x) => x + 10 * i),
        ),
      );
  });
  // b of both models, then a of both
  assert.deepEqual(valuesOf("float32", values.get("f0/p.m") as Uint8Array), [2, 3, 12, 13, 1, 11]);
  for (const [i, trial] of fused.entries())
    assert.deepEqual(
      valuesOf(
        "float32",
        readTrial(trialPieces(joint, trial, own, "p.m"), (name) => values.get(name) as Uint8Array),
      ),
      [1, 2, 3].map((x) => x + 10 * i),
    );
  const pieces = trialPieces(joint, fused[0] as GraphTrial, own, "b");
  assert.throws(
    () => putTrial(values, joint, pieces, new Uint8Array(4)),
    /^Error: f0\/b takes 8 bytes of a model, not 4$/,
  );
});

test("trialPieces finds states of parameters that lie in another flat buffer than alone, or in none", () => {
  const tensors = new Map(joint.tensors);
  const a = tensors.get("f0/a");
  const state = tensors.get("f0/p.m");
  assert.ok(a && state);
  tensors.set("f0/a", { ...a, within: { tensor: "f0/q", offsetBytes: 4 } });
  tensors.set("f0/q.m", { ...state, name: "f0/q.m", shape: [3] });
  const pieces = (names: ReadonlyMap<string, typeof a>) =>
    trialPieces({ ...joint, tensors: names }, fused[1] as GraphTrial, own, "p.m").map(
      ({ ownOffset: _, ...piece }) => piece,
    );
  assert.deepEqual(pieces(tensors), [
    { tensor: "f0/q.m", offsetBytes: 8, bytes: 4 },
    { tensor: "f0/p.m", offsetBytes: 8, bytes: 8 },
  ]);
  const { within: _, ...single } = a;
  assert.deepEqual(pieces(new Map(tensors).set("f0/a", single))[0], { tensor: "f0/a.m", offsetBytes: 4, bytes: 4 });
});

test("lossPlace(graph, trial) is the scalar, or the trial's entry of the vector of losses", () => {
  assert.deepEqual(lossPlace(graph, alone), { tensor: "m0/loss", offsetBytes: 0, bytes: 4 });
  assert.deepEqual(lossPlace(graph, fused[1] ?? alone), { tensor: "f0/losses", offsetBytes: 4, bytes: 4 });
});

test("fusedCount and jointName go by the sub-array", () => {
  assert.deepEqual(
    [alone, ...fused].map((trial) => [fusedCount(graph, trial), jointName(trial, "w")]),
    [
      [1, "m0/w"],
      [2, "f0/w"],
      [2, "f0/w"],
    ],
  );
});

test("memberOf(graph) tells of a name which member it is of", () => {
  const of = memberOf(graph);
  assert.deepEqual(["m0/w", "f0/update/Sub", "m1/w", "w", "loss/Add", "/a/b"].map(of), ["m0", "f0", "", "", "", ""]);
  assert.equal(memberOf({})("m0/w"), "");
});
