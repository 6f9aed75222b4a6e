import assert from "node:assert/strict";
import { after, test } from "node:test";
import { exportStep } from "../src/export.js";
import { type Graph, prune, tensorOf } from "../src/graph.js";
import { initialValues, randomFrom, seededGraph } from "../src/initial.js";
import { layout } from "../src/layout.js";
import { peakBytes, type Storage, storages, timeline } from "../src/liveness.js";
import { loadWithValues } from "../src/load.js";
import { lower } from "../src/lower.js";
import type { Decision } from "../src/plan.js";
import { readModel } from "../src/read.js";
import { originalName, rewrite } from "../src/rewrite.js";
import { loadGraph, saveGraph } from "../src/run.js";
import { openCpu } from "../src/runtime/cpu.js";
import { type SavedActivation, savedActivations } from "../src/saved.js";
import { parseGraph, printGraph } from "../src/text.js";
import { gradientName, trainingStep } from "../src/training.js";
import { randomGraph } from "./random-graph.js";

// RANDOM_GRAPHS=300 node --import tsx --test test/swap.test.ts looks further; RANDOM_SEED starts elsewhere
const count = Number(process.env.RANDOM_GRAPHS ?? 20);
const firstSeed = Number(process.env.RANDOM_SEED ?? 1);

const runtime = openCpu({ threads: 1 });
after(() => runtime.close());

type Choice = Pick<Decision, "activation" | "action" | "swap">;

/** Two layers; b is read through a view, a by the recomputation of b too. */
const small = parseGraph(`graph small(float32[4,8] x, parameter float32[8,8] w) => (loss) {
  h = MatMul(x, w)
  a = Relu(h)
  b = Exp(a)
  v = Reshape(b, int64[1]{-1})
  c = Sum(v)
loss:
  loss = ReduceSum<keepdims=0>(c)
backward:
  dv = Mul(v, loss)
  db = Reshape(dv, int64[2]{4,8})
  da = Mul(db, a)
  y = ReduceSum<keepdims=0>(da)
}`);

const body = (graph: Graph): string[] => printGraph(graph).split("{\n")[1]?.split("\n").slice(0, -2) ?? [];

test("rewrite(graph, swaps) puts copies where the placement says, and makes views anew", () => {
  const swapped = rewrite({ ...small, outputs: ["loss", "y"] }, [
    { activation: "a", action: "swap", swap: { outDone: "c", prefetch: "db" } },
    { activation: "b", action: "swap" },
  ]);
  console.log(body(swapped));
});
