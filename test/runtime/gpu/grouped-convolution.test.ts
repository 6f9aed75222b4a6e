import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConvolutionSpec, Trial } from "../../../src/runtime/gpu/cudnn-convolutions.js";
import {
  groupedShape,
  type KernelMeans,
  kernelBy,
  kernelNames,
  kernelsOf,
} from "../../../src/runtime/gpu/grouped-convolution.js";
import { fakeGpu } from "./fake-gpu.js";

const spec: ConvolutionSpec = {
  kind: "forward",
  dtype: "float32",
  x: [4, 128, 9, 9],
  w: [256, 16, 3, 3],
  y: [4, 256, 9, 9],
  pads: [1, 1],
  strides: [1, 1],
  dilations: [1, 1],
  groups: 8,
  alignment: 16,
  tf32: true,
  deterministic: false,
};

test("groupedShape(spec) is seen from what is read, and only of what kernels compute", () => {
  const shape = groupedShape(spec);
  assert.deepEqual([shape?.channels, shape?.made, shape?.image, shape?.transposed], [16, 32, [9, 9], undefined]);
  const gradient = groupedShape({ ...spec, kind: "input", x: [4, 128, 17, 17], strides: [2, 2] });
  assert.deepEqual(
    [gradient?.channels, gradient?.made, gradient?.result, gradient?.transposed],
    [32, 16, [17, 17], true],
  );
  const picture = { x: [4, 24, 9, 9], w: [256, 3, 7, 7], pads: [3, 3] };
  assert.equal(groupedShape({ ...spec, ...picture })?.channels, 3);
  const others: readonly Partial<ConvolutionSpec>[] = [
    { groups: 1 },
    { tf32: false },
    { dtype: "float64" },
    { channelsLast: true },
    { alignment: 8 },
    { strides: [3, 3] },
    { x: [4, 128, 9], w: [256, 16, 3], y: [4, 256, 9] },
    { groups: 128, w: [256, 1, 11, 11] },
    { groups: 128, w: [256, 1, 3, 3] },
    { kind: "input", ...picture },
    { y: [4, 64, 9, 9], w: [64, 16, 3, 3] },
  ];
  for (const one of others) assert.equal(groupedShape({ ...spec, ...one }), undefined, JSON.stringify(one));
});

/** The kernels of a convolution on a fake GPU, each with what its run launches. */
function tried(changes: Partial<ConvolutionSpec>, bytes = 2 ** 30) {
  const { gpu, lines, taken } = fakeGpu();
  const means: KernelMeans = { ...gpu, attends: true, cudnn: { ...gpu.cudnn, stream: 1n } as typeof gpu.cudnn };
  const trial = { a: 10n, b: 20n, out: 30n, workspace: 40n, bytes, time: () => 2 } as Trial;
  const whole = { ...spec, ...changes };
  const found = kernelsOf(means, whole, trial, 1);
  taken();
  const launched = found.map((one) => {
    one.run(10n, 20n, 30n, 40n);
    return taken().filter((line) => line.startsWith("kernel of"));
  });
  return { found, launched, means, whole, lines };
}

test("kernelsOf(spec) tries tiles of a convolution, and its filters' gradient in parts that are added up", () => {
  const forward = tried({});
  assert.deepEqual(
    forward.found.map(({ recipe, ms, workspaceBytes }) => [recipe, ms, workspaceBytes]),
    [0, 1].map((number) => [{ by: "kernel", number }, 2, 0]),
  );
  assert.deepEqual(
    forward.launched.map((lines) => lines.length),
    [1, 1],
  );
  const filter = tried({ kind: "filter", groups: 2, x: [64, 32, 9, 9], w: [64, 16, 3, 3], y: [64, 64, 9, 9] });
  assert.equal(filter.launched[0]?.length, 2);
  assert.ok((filter.found[0]?.workspaceBytes ?? 0) >= 2 * 64 * 16 * 9 * 4);
  assert.deepEqual(
    tried({ kind: "filter", groups: 2, x: [64, 32, 9, 9], w: [64, 16, 3, 3], y: [64, 64, 9, 9] }, 8).found,
    [],
  );
  assert.deepEqual(tried({ groups: 1 }).found, []);
});

test("kernelBy(recipe) makes the same kernel again; names tell kernels apart", () => {
  const { means, whole, found } = tried({});
  assert.equal(kernelBy(means, whole, { by: "kernel", number: 1 }, 3)?.ms, 3);
  assert.equal(kernelBy(means, whole, { by: "kernel", number: 9 }, 3), undefined);
  assert.equal(new Set(kernelNames(means, whole)).size, found.length);
  assert.deepEqual(kernelNames({ ...means, compiler: undefined }, whole), []);
  assert.equal(kernelBy({ ...means, attends: false }, whole, { by: "kernel", number: 0 }, 3), undefined);
});
