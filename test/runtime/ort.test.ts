import assert from "node:assert/strict";
import { test } from "node:test";
import koffi from "koffi";
import { openKernels } from "../../src/runtime/ort.js";
import { type Pointer, pointerArray } from "../../src/runtime/ort-api.js";

const type = { dtype: "float32", shape: [2] } as const;

const relu = {
  node: "n",
  op: "Relu",
  domain: "",
  types: new Map([["T", "float32"]] as const),
  attributes: {},
  inputCount: 1,
  outputCount: 1,
  since: undefined,
};

/** Runs Relu on [-1,2] in a session. */
function run(kernels: ReturnType<typeof openKernels>, count = 1): number[] {
  const [x, y] = [new Float32Array(new ArrayBuffer(8)), new Float32Array(new ArrayBuffer(8))];
  x.set([-1, 2]);
  const op = kernels.createOp(relu);
  const values = [x, y].map((array) => kernels.createValue(koffi.address(array) as Pointer, 8, type));
  const [inputs, outputs] = values.map((value) => pointerArray([value]));
  try {
    kernels.within((invoke) =>
      invoke(op, koffi.address(inputs) as Pointer, count, koffi.address(outputs) as Pointer, 1),
    );
  } finally {
    for (const value of values) kernels.releaseValue(value);
    kernels.releaseOp(op);
  }
  return [...y];
}

test("openKernels(…).within(work) invokes kernels on memory of ours, in sessions side by side", () => {
  const [first, second] = [openKernels({ threads: 1 }), openKernels({ threads: 1 })];
  assert.deepEqual(
    [run(first), run(second), run(first)],
    [
      [0, 2],
      [0, 2],
      [0, 2],
    ],
  );
  first.close();
  assert.deepEqual(run(second), [0, 2]);
  second.close();
});

test("within(work) returns what the work does, and throws what it throws", () => {
  const kernels = openKernels({ threads: 1 });
  assert.equal(
    kernels.within(() => 42),
    42,
  );
  const error = new Error("it broke");
  assert.throws(
    () =>
      kernels.within(() => {
        throw error;
      }),
    (thrown) => thrown === error,
  );
  assert.deepEqual(run(kernels), [0, 2]);
  kernels.close();
});

test("allocations() is what kernels took from the session's allocator", () => {
  const kernels = openKernels({ threads: 1 });
  run(kernels);
  const found = kernels.allocations();
  assert.ok(found && found.maxInUse >= found.inUse && found.inUse >= 0);
  kernels.close();
});
