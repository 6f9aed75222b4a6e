import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { isPlannable, waysOf, worthKeeping } from "../../../src/runtime/gpu/convolution-search.js";
import type { ConvolutionSpec } from "../../../src/runtime/gpu/cudnn-convolutions.js";
import { type FakeCudnnOptions, fakeCudnn, withCache } from "./fake-cudnn.js";
import { fakeGpu } from "./fake-gpu.js";

const root = mkdtempSync(path.join(os.tmpdir(), "mutwo-search-"));

after(() => rmSync(root, { recursive: true }));

const MiB = 2 ** 20;

const spec: ConvolutionSpec = {
  kind: "forward",
  dtype: "bfloat16",
  x: [2, 3, 8, 8],
  w: [4, 3, 3, 3],
  y: [2, 4, 8, 8],
  pads: [1, 1],
  strides: [1, 1],
  dilations: [1, 1],
  groups: 1,
  alignment: 16,
  tf32: true,
  deterministic: false,
};

/** The ways that are found, by their engines or algorithms; whatever was taken is given back when cuDNN is closed. */
function search(
  folder: string,
  options: FakeCudnnOptions,
  changes: Partial<ConvolutionSpec> = {},
  freeBytes = 2 ** 31,
) {
  const fake = fakeCudnn(options);
  const { gpu, memory, made } = fakeGpu();
  const cuda = { ...gpu.cuda, freeBytes: () => freeBytes, elapsedMs: () => fake.state.ms, name: "Fake GPU" };
  const operands = { a: 1n, b: 2n, out: 3n };
  let ways: ReturnType<typeof waysOf> = [];
  try {
    ways = withCache(folder, () =>
      waysOf(
        { ...gpu, cuda: cuda as unknown as typeof gpu.cuda, cudnn: fake.cudnn },
        { ...spec, ...changes },
        operands,
      ),
    );
  } finally {
    fake.close();
    assert.equal(fake.held.size, 0);
    assert.equal(made.size, 0);
    gpu.workspace.close();
    assert.equal(memory.held.size, 0);
  }
  const ran = fake.lines.filter((line) => /^(execute|cudnn)/.test(line)).length;
  const names = ways.map(({ recipe }) => (recipe.by === "plan" ? recipe.engine : `algorithm ${recipe.number}`));
  return { names, ways, ran, lines: fake.lines, found: fake.lines.some((line) => line.startsWith("cudnnFind")) };
}

const kept = (folder: string): number => {
  try {
    return readdirSync(path.join(folder, "convolutions")).length;
  } catch {
    return 0;
  }
};

test("worthKeeping(found) leaves out what another one beats in time and workspace", () => {
  const all = [
    [3, 0],
    [1, 100],
    [2, 100],
    [2, 50],
    [4, 0],
    [2, 60],
  ].map(([ms, workspaceBytes]) => ({ ms: ms as number, workspaceBytes: workspaceBytes as number }));
  assert.deepEqual(
    worthKeeping(all).map(({ ms, workspaceBytes }) => [ms, workspaceBytes]),
    [
      [1, 100],
      [2, 50],
      [3, 0],
    ],
  );
});

const engines = [
  { engine: 1, ms: 3, workspaceBytes: 0 },
  { engine: 2, ms: 1, workspaceBytes: 100 * MiB },
  { engine: 3, ms: 4, workspaceBytes: 50 * MiB },
];

test("waysOf(convolution) are the plans worth having, fastest first; the legacy interface is not asked", () => {
  const folder = mkdtempSync(path.join(root, "cache-"));
  const { names, found } = search(folder, { A: engines });
  assert.deepEqual(names, [2, 1]);
  assert.equal(found, false);
});

test("waysOf(convolution) of several side by side are timed so, each with a workspace of its own where there is room", () => {
  const folder = mkdtempSync(path.join(root, "cache-"));
  const all = [
    { engine: 1, ms: 1, workspaceBytes: 0 },
    { engine: 2, ms: 2, workspaceBytes: 100 * MiB },
    { engine: 3, ms: 3, workspaceBytes: 800 * MiB },
  ];
  const { lines } = search(folder, { A: all }, { beside: 4 });
  const placesOf = (engine: number): Set<string> =>
    new Set(
      lines.filter((line) => line.startsWith(`execute ${engine}`)).map((line) => line.replace(/.*workspace /, "")),
    );
  const streamsOf = (engine: number): number =>
    new Set([...placesOf(engine)].map((place) => place.split("stream ")[1])).size;
  const workspacesOf = (engine: number): number =>
    new Set([...placesOf(engine)].map((place) => place.split(",")[0])).size;
  assert.deepEqual([1, 2, 3].map(streamsOf), [4, 4, 1]);
  assert.deepEqual([1, 2, 3].map(workspacesOf), [1, 4, 1]);
  // another question than what is fastest alone
  search(folder, { A: all });
  assert.equal(kept(folder), 2);
});

test("waysOf(convolution) without a plan are the legacy interface's algorithms, and without these an error", () => {
  const folder = mkdtempSync(path.join(root, "cache-"));
  const algorithms = [[1, 2, 100] as const, [0, 5, 0] as const];
  assert.deepEqual(search(folder, { A: [{ engine: 1, refused: true }], algorithms }).names, [
    "algorithm 1",
    "algorithm 0",
  ]);
  assert.deepEqual(search(folder, { A: engines, failsAt: 1, algorithms }, { x: [2, 3, 9, 9] }).names, [
    "algorithm 1",
    "algorithm 0",
  ]);
  assert.throws(
    () => search(folder, { failsAt: 1 }, { w: [4, 3, 1, 1] }),
    /^Error: cuDNN: no forward convolution for x \[2,3,8,8\]/,
  );
});

test("waysOf(convolution) in plain float32 are the fastest of both interfaces, timed alike", () => {
  const folder = mkdtempSync(path.join(root, "cache-"));
  const algorithms = [[7, 2, 0] as const];
  const plain = { dtype: "float32", tf32: false } as const;
  assert.deepEqual(search(folder, { A: engines, algorithms }, plain).names, [2, "algorithm 7"]);
  assert.deepEqual(search(folder, { A: engines, algorithms }, { ...plain, tf32: true }).names, [2, 1]);
  assert.deepEqual(search(folder, { A: engines }, { ...plain, x: [3, 3, 8, 8] }).names, [2, 1]); // without algorithms
});

test("waysOf(convolution) are known to the next process, and timed anew where cuDNN proposes another engine", () => {
  const folder = mkdtempSync(path.join(root, "cache-"));
  const first = search(folder, { A: engines });
  const again = search(folder, { A: engines });
  assert.deepEqual([again.names, again.ran, kept(folder)], [first.names, 0, 1]);
  assert.deepEqual(
    again.ways.map(({ ms }) => ms),
    first.ways.map(({ ms }) => ms),
  );
  const other = search(folder, { A: [...engines].reverse() });
  assert.deepEqual(other.names, [2, 1]);
  assert.ok(other.ran > 0);
  const larger = search(folder, { A: engines.map((one) => ({ ...one, workspaceBytes: one.workspaceBytes + MiB })) });
  assert.ok(larger.ran > 0);
});

test("algorithms of the legacy interface are known to the next process too", () => {
  const folder = mkdtempSync(path.join(root, "cache-"));
  const options = { algorithms: [[7, 2, 0] as const] };
  assert.deepEqual(search(folder, options).names, ["algorithm 7"]);
  const again = search(folder, options);
  assert.deepEqual([again.names, again.found], [["algorithm 7"], false]);
});

test("waysOf(convolution) on a device that is nearly full takes what fits, and keeps nothing of that search", () => {
  const folder = mkdtempSync(path.join(root, "cache-"));
  assert.deepEqual(search(folder, { A: engines }, {}, 80 * MiB).names, [1]);
  assert.equal(kept(folder), 0);
  search(folder, { A: engines });
  assert.deepEqual(search(folder, { A: engines }, {}, 80 * MiB).names, [1]);
});

test("isPlannable(convolution) asks cuDNN, unless an earlier process found a way", () => {
  const folder = mkdtempSync(path.join(root, "cache-"));
  const asked = (options: FakeCudnnOptions): [boolean, number] => {
    const fake = fakeCudnn(options);
    const gpu = { cuda: { name: "Fake GPU" }, cudnn: fake.cudnn };
    return [withCache(folder, () => isPlannable(gpu, spec)), fake.lines.length];
  };
  assert.equal(asked({})[0], false);
  assert.equal(asked({ A: engines })[0], true);
  search(folder, { A: engines });
  assert.deepEqual(asked({}), [true, 0]);
});
