import assert from "node:assert/strict";
import { test } from "node:test";
import type { Convolution, ConvolutionSpec } from "../../../src/runtime/gpu/cudnn-convolutions.js";
import { hasPlan, isAllowed, planBy, plansOf } from "../../../src/runtime/gpu/cudnn-plans.js";
import { type FakeCudnnOptions, fakeCudnn } from "./fake-cudnn.js";

const spec: ConvolutionSpec = {
  kind: "forward",
  dtype: "float32",
  x: [2, 3, 8],
  w: [4, 3, 3],
  y: [2, 4, 8],
  pads: [1],
  strides: [1],
  dilations: [1],
  groups: 1,
  alignment: 16,
  tf32: true,
  deterministic: false,
};

const tensorCore = 0;
const nondeterministic = 4;

/** Engines of the plans that were found, those that ran, and what is left. */
function found(options: FakeCudnnOptions, changes: Partial<ConvolutionSpec> = {}, bytes = 1000, modest = 100) {
  const fake = fakeCudnn(options);
  const time = (one: Pick<Convolution, "run">): number => {
    one.run(1n, 2n, 3n, 4n);
    return fake.state.ms;
  };
  const trial = { a: 1n, b: 2n, out: 3n, workspace: 4n, bytes, time };
  const plans = plansOf(fake.cudnn, { ...spec, ...changes }, trial, modest);
  const engines = plans.map(({ recipe }) => (recipe.by === "plan" ? recipe.engine : -1));
  for (const plan of plans) plan.destroy();
  assert.equal(fake.held.size, 0);
  return { engines, plans, lines: fake.lines };
}

test("isAllowed(notes) keeps TF32, chance and narrower inputs out where they are not wanted", () => {
  const is = (notes: readonly number[], changes: Partial<ConvolutionSpec> = {}): boolean =>
    isAllowed(notes, { ...spec, ...changes });
  assert.deepEqual([is([]), is([tensorCore]), is([tensorCore], { tf32: false })], [true, true, false]);
  assert.equal(is([tensorCore], { tf32: false, dtype: "bfloat16" }), true);
  assert.deepEqual([is([nondeterministic]), is([nondeterministic], { deterministic: true })], [true, false]);
  assert.deepEqual([is([1]), is([tensorCore, 2], { dtype: "float16" })], [false, false]);
});

test("plansOf(convolution) tries the first three proposals that it may take", () => {
  const A = [1, 2, 3, 4, 5].map((engine) => ({ engine, notes: engine === 2 ? [1] : [], refused: engine === 3 }));
  assert.deepEqual(found({ A, fallback: [{ engine: 9 }] }).engines, [1, 4, 5]);
  assert.deepEqual(found({ A: A.slice(0, 2), fallback: [{ engine: 9 }] }).engines, [1]);
});

test("plansOf(convolution) of several side by side tries more: the first proposals are the fastest alone", () => {
  const A = Array.from({ length: 10 }, (_, engine) => ({ engine }));
  assert.deepEqual(found({ A }, { beside: 4 }).engines, [0, 1, 2, 3, 4, 5, 6, 7]);
});

test("plansOf(convolution) goes on until one takes little workspace, in the fallback too; what is too large is not run", () => {
  const large = [1, 2, 3].map((engine) => ({ engine, workspaceBytes: 500 }));
  const next = [
    { engine: 4, workspaceBytes: 2000 },
    { engine: 5, workspaceBytes: 100 },
    { engine: 6, workspaceBytes: 0 },
  ];
  const { engines, lines } = found({ A: [...large, ...next] });
  assert.deepEqual(engines, [1, 2, 3, 5]);
  assert.ok(!lines.some((line) => line.startsWith("execute 4")));
  assert.deepEqual(found({ A: large, fallback: [{ engine: 8 }, { engine: 9 }] }).engines, [1, 2, 3, 8]);
});

test("plansOf(convolution) compiles nothing but what cuDNN takes for the best", () => {
  const compiled = { engine: 1, compiles: true };
  const [first, second] = found({ A: [compiled, { engine: 2 }] }).plans;
  const textOf = (plan: typeof first) => plan?.recipe.by === "plan" && plan.recipe.text;
  assert.deepEqual([textOf(first), textOf(second)], ["engine 1", undefined]);
  assert.deepEqual(found({ A: [compiled, { engine: 2 }, { engine: 3, compiles: true }] }).engines, [1, 2]);
  assert.deepEqual(found({ A: [{ engine: 2 }, compiled], fallback: [compiled] }).engines, [2]);
});

test("plansOf(convolution) is nothing where cuDNN refuses to describe it, or for float64", () => {
  const A = [{ engine: 1 }];
  for (let failsAt = 1; failsAt <= 7; failsAt++) assert.deepEqual(found({ A, failsAt }).engines, [], `${failsAt}`);
  assert.deepEqual(found({ A }, { dtype: "float64" }), { engines: [], plans: [], lines: [] });
});

test("plansOf(convolution) hands on what is no refusal, and leaves nothing", () => {
  const fake = fakeCudnn({ A: [{ engine: 1 }, { engine: 2 }] });
  let calls = 0;
  const time = (): number => {
    if (++calls === 1) return 1;
    throw new Error("CUDA: the GPU failed: an illegal memory access");
  };
  const trial = { a: 1n, b: 2n, out: 3n, workspace: 4n, bytes: 1000, time };
  assert.throws(() => plansOf(fake.cudnn, spec, trial, 100), /the GPU failed/);
  assert.equal(fake.held.size, 0);
});

test("operands go to cuDNN's x, w and y by the kind of convolution", () => {
  const at = (kind: ConvolutionSpec["kind"]): string =>
    (found({ A: [{ engine: 1 }] }, { kind }).lines.find((line) => line.startsWith("execute")) ?? "").slice(11);
  assert.equal(at("forward"), "ids 1,2,3 at 1,2,3, workspace 4");
  assert.equal(at("input"), "ids 1,2,3 at 3,1,2, workspace 4"); // w, dy → dx
  assert.equal(at("filter"), "ids 1,2,3 at 1,3,2, workspace 4"); // x, dy → dw
});

test("planBy(recipe) makes the plan again where cuDNN still proposes that engine there", () => {
  const fake = fakeCudnn({ A: [{ engine: 1 }, { engine: 2, workspaceBytes: 7 }] });
  const recipe = { by: "plan", heuristic: "A", rank: 1, engine: 2 } as const;
  const made = planBy(fake.cudnn, spec, recipe, 3);
  assert.deepEqual([made?.workspaceBytes, made?.ms, made?.recipe], [7, 3, recipe]);
  made?.destroy();
  assert.equal(planBy(fake.cudnn, spec, { ...recipe, engine: 3 }, 3), undefined);
  assert.equal(planBy(fake.cudnn, spec, { ...recipe, rank: 2 }, 3), undefined);
  const ofText = planBy(fake.cudnn, spec, { ...recipe, rank: 9, text: "engine 2" }, 3);
  assert.equal(ofText?.workspaceBytes, 7); // of its text: no heuristic is asked
  ofText?.destroy();
  const ofRank = planBy(fake.cudnn, spec, { ...recipe, text: "engine 8" }, 3);
  assert.equal(ofRank?.workspaceBytes, 7); // cuDNN does not take the text
  ofRank?.destroy();
  assert.equal(planBy(fakeCudnn({ failsAt: 1 }).cudnn, spec, recipe, 3), undefined);
  assert.equal(fake.held.size, 0);
});

test("hasPlan(convolution) is whether cuDNN can make one that may be taken; none is run", () => {
  const has = (options: FakeCudnnOptions, changes: Partial<ConvolutionSpec> = {}): boolean => {
    const fake = fakeCudnn(options);
    const result = hasPlan(fake.cudnn, { ...spec, ...changes });
    assert.equal(fake.held.size, 0);
    assert.ok(!fake.lines.some((line) => line.startsWith("execute")));
    return result;
  };
  assert.equal(has({ A: [{ engine: 1 }] }), true);
  assert.equal(has({ fallback: [{ engine: 1 }] }), true);
  assert.equal(has({}), false);
  assert.equal(has({ A: [{ engine: 1, refused: true }] }), false);
  assert.equal(has({ A: [{ engine: 1, refused: true }, { engine: 2 }] }), true);
  assert.equal(has({ A: [{ engine: 1, compiles: true, refused: true }] }), true, "compiling takes long");
  assert.equal(has({ A: [{ engine: 1, notes: [tensorCore] }] }, { tf32: false }), false);
  assert.equal(
    has({
      A: [
        { engine: 2, notes: [1] },
        { engine: 1, compiles: true },
      ],
    }),
    false,
  );
  assert.equal(has({ A: [{ engine: 1 }], failsAt: 1 }), false);
  assert.equal(has({ A: [{ engine: 1 }] }, { dtype: "float64" }), false);
});
