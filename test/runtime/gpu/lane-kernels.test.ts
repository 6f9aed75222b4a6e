import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import type { Node } from "../../../src/graph/graph.js";
import { LaneKernels } from "../../../src/runtime/gpu/lane-kernels.js";
import { requestOf } from "../../../src/runtime/kernel-key.js";
import { type Kernels, openKernels } from "../../../src/runtime/ort.js";
import { writtenKernels } from "../written-kernels.js";

const graph = parseGraph("graph(float32[3] x) => (y) { y = Neg(x) }");

const request = requestOf(graph.nodes[0] as Node, graph);

/** Lanes whose kernels write down what is asked of them. */
function written() {
  const lines: string[] = [];
  const lane = (number: number) => ({
    ...writtenKernels(),
    createOp: () => BigInt(100 * (number + 1)),
    releaseOp: (op: bigint) => void lines.push(`${number} releases ${op}`),
    within: <T>(work: (invoke: (op: bigint) => void) => T): T =>
      work((op) => void lines.push(`${number} invokes ${op}`)),
  });
  return { lines, kernels: new LaneKernels([lane(0), lane(1), lane(2)] as unknown as Kernels[]) };
}

test("an operator belongs to the lane that it was asked for: there it is invoked and released", () => {
  const { lines, kernels } = written();
  const ops = [2, 0, 1].map((lane) => kernels.createOp({ ...request, lane }));
  const result = kernels.within((invoke) => {
    for (const op of ops) invoke(op, 0n, 0, 0n, 0);
    return "done";
  });
  assert.equal(result, "done");
  for (const op of ops) kernels.releaseOp(op);
  assert.deepEqual(lines, [
    "2 invokes 300",
    "0 invokes 100",
    "1 invokes 200",
    "2 releases 300",
    "0 releases 100",
    "1 releases 200",
  ]);
});

const sessions = Array.from({ length: 8 }, () => openKernels({ threads: 1 }));

after(() => sessions.forEach((session) => void session.close()));

test("sessions of ONNX Runtime are entered one inside the other; what is thrown there is thrown outside", () => {
  const kernels = new LaneKernels(sessions);
  assert.equal(
    kernels.within(() => 7),
    7,
  );
  assert.throws(() => kernels.within(() => assert.fail("inside")), /inside/);
  assert.equal(
    kernels.within(() => 8),
    8,
  );
});
