import assert from "node:assert/strict";
import { test } from "node:test";
import { asksForMany, type ManyOptions, severalTrialsOf, trialsOf } from "../../src/run/trials.js";
import { at } from "../at.js";

const mlp = at("fixtures/mlp.ts.onnx");
const dropout = at("fixtures/dropout_block.onnx");
const base: ManyOptions = { loss: "ce", optimizer: "adam:lr=1e-3,eps=1e-7" };

const said = (options: Partial<ManyOptions>, file = mlp) =>
  trialsOf(file, { ...base, ...options }).map(
    ({ name, options: { optimizer }, seed }) => `${name} ${optimizer} ${seed}`,
  );

test("trialsOf(file, {vary}) is every combination of the values", () => {
  assert.deepEqual(said({ vary: ["lr=1e-4,1e-2", "seed=3,5"] }), [
    "m0 adam:eps=1e-7,lr=1e-4 3",
    "m1 adam:eps=1e-7,lr=1e-4 5",
    "m2 adam:eps=1e-7,lr=1e-2 3",
    "m3 adam:eps=1e-7,lr=1e-2 5",
  ]);
});

test("trialsOf(file, {copies, vary}) are so many, the values in turn", () => {
  assert.deepEqual(said({ copies: 3, vary: ["lr=1,2", "seed=4..6"] }), [
    "m0 adam:eps=1e-7,lr=1 4",
    "m1 adam:eps=1e-7,lr=2 5",
    "m2 adam:eps=1e-7,lr=1 6",
  ]);
});

test("trialsOf(file, {copies}) differ in their seeds where nothing else tells them apart", () => {
  assert.deepEqual(said({ copies: 3, seed: 7 }), [
    "m0 adam:lr=1e-3,eps=1e-7 7",
    "m1 adam:lr=1e-3,eps=1e-7 8",
    "m2 adam:lr=1e-3,eps=1e-7 9",
  ]);
  const [, second] = trialsOf(mlp, { ...base, copies: 2 });
  assert.deepEqual(second?.varied, { seed: "1" });
});

test("trialsOf(file, {together, vary}) gives each file its value, and its own dimensions", () => {
  const trials = trialsOf(mlp, { ...base, together: [dropout], vary: ["loss=ce,mse"], dims: { batch: 4 } });
  assert.deepEqual(
    trials.map(({ name, file, options: { loss, dims } }) => [name, file, loss, dims]),
    [
      ["m0", mlp, "ce", {}],
      ["m1", dropout, "mse", { batch: 4 }],
    ],
  );
  const copies = trialsOf(mlp, { ...base, together: [dropout], copies: 2, dims: { batch: 4 } });
  assert.deepEqual(
    copies.map(({ file, seed }) => [file, seed]),
    [
      [mlp, 0],
      [mlp, 1],
      [dropout, 0],
      [dropout, 1],
    ],
  );
});

test("trialsOf(file, {vary}) takes options by their flags and by their names, dimensions, and both betas", () => {
  const of = (...vary: string[]) => trialsOf(mlp, { ...base, vary }).map(({ options }) => options);
  assert.deepEqual(
    of("clip-norm=1,2").map(({ clipNorm }) => clipNorm),
    [1, 2],
  );
  assert.deepEqual(
    of("clipNorm=1,2").map(({ clipNorm }) => clipNorm),
    [1, 2],
  );
  assert.deepEqual(
    of("precision=mixed:type=bfloat16,float64").map(({ precision }) => precision),
    ["mixed:type=bfloat16", "float64"],
  );
  assert.deepEqual(
    of("dim.batch=8,16").map(({ dims }) => dims),
    [{ batch: 8 }, { batch: 16 }],
  );
  const betas = trialsOf(mlp, { ...base, optimizer: "adam:betas=0.9/0.99", vary: ["beta1=0.8"] });
  assert.equal(betas[0]?.options.optimizer, "adam:beta2=0.99,beta1=0.8");
  const sets = of("optimizer=sgd,adam", "lr=0.1");
  assert.deepEqual(
    sets.map(({ optimizer }) => optimizer),
    ["sgd:lr=0.1", "adam:lr=0.1"],
  );
});

const wrong: readonly (readonly [options: Partial<ManyOptions>, message: RegExp])[] = [
  [
    { vary: ["budget=1GiB,2GiB"] },
    /^cannot vary budget: it is of all models together \(vary a setting of adam, seed, dim\.NAME, loss, /,
  ],
  [{ copies: 2, vary: ["lr=1,2,3"] }, /^lr has 3 values for 2 models: .* \(--copies 3, or leave some out\)$/],
  [
    { vary: ["seed=0..999", "lr=1,2,3,4,5,6,7,8,9,10,11"] },
    /^too many models: 11,000 \(at most 10,000 are trained in one step\)$/,
  ],
  [{ together: [dropout], copies: 9000 }, /^too many models: 18,000 /],
  [{ vary: ["no-tf32=1"] }, /^cannot vary no-tf32: it is of all models together /],
  [{ vary: ["copies=1,2"] }, /^cannot vary copies: it is of all models together /],
  [
    { vary: ["momentum=0.9"] },
    /^cannot vary momentum: unknown setting of adam: momentum \(one of lr, beta1, .*\); vary a setting of adam, seed, .* \(model m0\)$/,
  ],
  [{ vary: ["lr=1e-3,x"] }, /^cannot vary lr: setting lr of adam is not a number: x \(model m1\)$/],
  [{ vary: ["seed=1,x"] }, /^seed is not a whole number from 0 on: x$/],
  [{ vary: ["accumulate=2,0"] }, /^accumulate cannot be 0: use a whole number from 1 to 1024$/],
  [{ vary: ["loss=ce,hinge"] }, /^cannot vary loss: unknown loss: hinge \(one of ce, .*\) \(model m1\)$/],
  [{ together: [dropout], dims: { btch: 4 } }, /^unknown dimension: btch \(the models have batch\)$/],
];

for (const [options, message] of wrong)
  test(`trialsOf(file, ${JSON.stringify(options).replaceAll(at(""), "")}) says what is wrong`, () =>
    assert.throws(() => trialsOf(mlp, { ...base, ...options }), { message }));

test("severalTrialsOf(file, options) are more than one", () => {
  const options = { loss: "ce", optimizer: "adam" };
  assert.equal(severalTrialsOf("m.onnx", { ...options, copies: 2 }).length, 2);
  for (const one of [{ copies: 1 }, { vary: ["lr=1e-3"] }])
    assert.throws(() => severalTrialsOf("m.onnx", { ...options, ...one }), {
      message: "one model alone is not trained together: give --vary several values, or pass --copies N",
    });
});

test("asksForMany(options) where anything says that there are several models", () => {
  assert.deepEqual([{}, { together: [] }, { copies: 1 }, { vary: ["lr=1"] }].map(asksForMany), [
    false,
    true,
    true,
    true,
  ]);
});
