import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { hostWorkspace } from "../../src/runtime/host-workspace.js";
import { type Place, prepareStep } from "../../src/runtime/interpreter.js";
import type { Kernels } from "../../src/runtime/ort.js";
import { writtenKernels } from "./written-kernels.js";

const graph = parseGraph(`graph(float32[4] x, float32[2] z) => (d) {
  a = Relu(x)
  b = Relu(a)
  v = Reshape(b, int64[2]{2,2})
  c = Relu(z)
  d = Add(v, c)
}`);

const place: Place = {
  address: () => 64n,
  read: () => new Uint8Array(0),
  own: () => undefined,
  hostInputs: () => [],
  kernelsKnowShapes: false,
};

/** Sessions whose kernels take 100 bytes in the first session, 200 in the second and so on; those that were opened. */
function sessions(says = true) {
  const opened: ReturnType<typeof writtenKernels>[] = [];
  const openFresh = (): Kernels => {
    const fresh = writtenKernels();
    opened.push(fresh);
    const most = 100 * opened.length;
    return { ...fresh, allocations: () => (says ? { inUse: 7, maxInUse: 7 + most } : null) };
  };
  return { opened, openFresh };
}

test("hostWorkspace(…) asks a session of its own for each kind of node, and once; a view takes nothing", async () => {
  const kernels = writtenKernels();
  const { opened, openFresh } = sessions();
  const step = prepareStep(graph, kernels, place);
  const bytes = await hostWorkspace(graph, step.nodes, kernels, openFresh);
  assert.deepEqual([...(bytes ?? [])], [100, 100, 0, 200, 300]);
  assert.deepEqual(
    opened.map(({ lines }) => lines),
    ["Relu", "Relu", "Add"].map((op) => [`op 1 ${op}`, `invoke 1 ${op === "Add" ? 2 : 1}→1`, "release op 1", "close"]),
  );
  // the second of a kind runs where the step's nodes run
  assert.equal(kernels.lines.filter((line) => line.startsWith("invoke")).length, 1);
});

test("hostWorkspace(…) is null where the allocator does not say, and closes its session", async () => {
  const { opened, openFresh } = sessions(false);
  const kernels = writtenKernels();
  assert.equal(await hostWorkspace(graph, prepareStep(graph, kernels, place).nodes, kernels, openFresh), null);
  assert.deepEqual(
    opened.map(({ lines }) => lines.at(-1)),
    ["close"],
  );
});
