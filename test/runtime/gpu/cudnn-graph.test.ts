import assert from "node:assert/strict";
import { test } from "node:test";
import { type GraphConvolution, OperationGraph } from "../../../src/runtime/gpu/cudnn-graph.js";
import { type FakeCudnnOptions, fakeCudnn } from "./fake-cudnn.js";

const tensor = (dims: readonly number[]) => ({ dims, strides: dims });

const convolution: GraphConvolution = {
  kind: "filter",
  dataType: 9,
  computeType: 0,
  x: tensor([2, 3, 8, 8]),
  w: tensor([4, 3, 3, 3]),
  y: tensor([2, 4, 8, 8]),
  padsBefore: [1, 2],
  padsAfter: [3, 4],
  strides: [1, 1],
  dilations: [5, 6],
  alignment: 16,
};

const opened = (options: FakeCudnnOptions = {}, kind = convolution.kind) => {
  const fake = fakeCudnn({ A: [{ engine: 5, notes: [0, 4], compiles: true }, { engine: 6 }], ...options });
  return { ...fake, graph: () => new OperationGraph(fake.cudnn, { ...convolution, kind }) };
};

test("a convolution is described as an operation of its kind on three tensors, within a graph", () => {
  for (const [kind, number, first] of [
    ["forward", 10, 700],
    ["input", 12, 706],
    ["filter", 11, 712],
  ] as const) {
    const { graph, held, lines } = opened({}, kind);
    const made = graph();
    assert.deepEqual(
      [...held.values()].map((one) => one.kind),
      [17, 17, 17, 1, number, 15],
    );
    const own = lines.filter((line) => line.startsWith(`${number}: `));
    // the convolution and its tensors, then alpha and beta as floats
    assert.equal(own.filter((line) => line.endsWith(" type 15 × 1")).length, 4);
    assert.deepEqual(own.slice(4), [`${number}: ${first} type 4 × 1`, `${number}: ${first + 1} type 4 × 1`]);
    made.destroy();
    assert.equal(held.size, 0);
  }
});

test("whichever descriptor cuDNN refuses, none is left, and the error is cuDNN's", () => {
  for (let failsAt = 1; failsAt <= 6; failsAt++) {
    const { graph, held } = opened({ failsAt });
    assert.throws(graph, /^Error: cuDNN: CUDNN_STATUS_NOT_SUPPORTED \(cudnnBackendFinalize\)$/);
    assert.equal(held.size, 0);
  }
});

test("proposals are told with their engine's number and notes", () => {
  const { graph } = opened();
  const made = graph();
  assert.deepEqual(
    [...made.proposals("A")].map(({ configuration: _, ...rest }) => rest),
    [
      { rank: 0, engine: 5, notes: [0, 4], compiles: true },
      { rank: 1, engine: 6, notes: [], compiles: false },
    ],
  );
  assert.deepEqual([...made.proposals("fallback")], []);
});

test("a plan outlives its graph, runs on addresses by the tensors' ids, and leaves nothing", () => {
  const { graph, held, lines } = opened({ A: [{ engine: 5, workspaceBytes: 4096 }] });
  const made = graph();
  const [proposal] = [...made.proposals("A")];
  assert.ok(proposal);
  const plan = made.plan(proposal);
  made.destroy();
  assert.equal(plan.workspaceBytes, 4096);
  lines.length = 0;
  plan.run(11n, 12n, 13n, 14n);
  assert.equal(lines.at(-1), "execute 5: ids 1,2,3 at 11,12,13, workspace 14");
  assert.equal(held.size, 2); // the plan and its configuration
  plan.destroy();
  assert.equal(held.size, 0);
});

test("a proposal that cannot be done after all is refused, and nothing of it is left", () => {
  const { graph, held, lines } = opened({ A: [{ engine: 5, refused: true }] });
  const made = graph();
  const before = held.size;
  const [proposal] = [...made.proposals("A")];
  assert.ok(proposal);
  assert.throws(() => made.plan(proposal), /^Error: cuDNN: /);
  assert.equal(held.size, before + 2); // the heuristic, and the engine that was looked at
  made.destroy();
  assert.equal(held.size, 0);
  assert.ok(!lines.some((line) => line.startsWith("destroyed twice")));
});
