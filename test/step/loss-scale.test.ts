import assert from "node:assert/strict";
import { after, test } from "node:test";
import { parseGraph } from "../../src/build/text.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import { layout } from "../../src/memory/layout.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { initialValues } from "../../src/step/initial.js";
import { lossScaleOf } from "../../src/step/loss-scale.js";
import { lowerFor } from "../../src/step/lower.js";
import { parseNamed } from "../../src/step/settings.js";
import { type TrainingOptions, trainingStep } from "../../src/step/training.js";

const runtime = openCpu();

after(() => runtime.close());

const model = parseGraph(`graph dense(float32[4,8] x, parameter float32[8,3] w, parameter float32[3] b) => (y) {
  h = MatMul(x, w)
  y = Add(h, b)
}`);

/** PyTorch's GradScaler over steps that are finite or not: the scale and the tracker after each (`_amp_update_scale_`). */
function gradScaler(finite: readonly boolean[], init = 65536, growth = 2, backoff = 0.5, interval = 2000) {
  let [scale, tracker] = [init, 0];
  return finite.map((ok) => {
    if (!ok) [scale, tracker] = [scale * backoff, 0];
    else if (++tracker === interval)
      [scale, tracker] = [Number.isFinite(Math.fround(scale * growth)) ? scale * growth : scale, 0];
    return [scale, tracker];
  });
}

/** Runs a step once for each factor, by which its input is multiplied, and gives the state after each. */
async function states(options: Partial<TrainingOptions>, factors: readonly number[]) {
  const step = trainingStep(model, { loss: "ce", optimizer: "adam", ...options });
  const graph = lowerFor(runtime, step);
  const loaded = runtime.load(graph, layout(graph));
  try {
    const values = initialValues(graph, step, 1);
    for (const [name, bytes] of values) loaded.write(name, bytes);
    const x = valuesOf("float32", values.get("x") as Uint8Array);
    const residents = step.state.map(({ before }) => before);
    const all: Map<string, number[]>[] = [];
    for (const factor of factors) {
      loaded.write(
        "x",
        bytesOf(
          "float32",
          Array.from(x, (value) => value * factor),
        ),
      );
      await loaded.run();
      const read = (name: string): number[] => {
        const { dtype } = step.tensors.get(name) as { dtype: "float32" };
        return Array.from(valuesOf(dtype, loaded.read(name)), Number);
      };
      all.push(new Map(residents.map((name) => [name, read(name)])));
    }
    return { step, all };
  } finally {
    loaded.close();
  }
}

const scales = (all: readonly ReadonlyMap<string, readonly number[]>[]) =>
  all.map((state) => [state.get("loss_scale")?.[0], state.get("loss_scale.growth_tracker")?.[0]]);

// 1e6 is an infinity in float16: the gradient of w, xᵀ·dy, is not finite
const overflow = 1e6;

test("a step with an infinity changes no parameter and no optimizer state, halves the scale, and the next one goes on", async () => {
  for (const optimizer of ["sgd", "adam", "adamw"]) {
    const { all } = await states({ precision: "mixed", optimizer }, [1, overflow, 1]);
    const [first, second, third] = all as [Map<string, number[]>, Map<string, number[]>, Map<string, number[]>];
    for (const [name, values] of first) {
      if (name.startsWith("loss_scale")) continue;
      assert.deepEqual(second.get(name), values, `${optimizer}: ${name} after a step with an infinity`);
      assert.ok(third.get(name)?.every(Number.isFinite), `${optimizer}: ${name}`);
      assert.notDeepEqual(third.get(name), values, `${optimizer}: ${name} after a finite step`);
    }
    assert.deepEqual(scales(all), gradScaler([true, false, true]));
  }
});

test("the scale follows PyTorch's GradScaler: it grows after so many finite steps in a row, which begin anew after an infinity", async () => {
  const factors = [1, 1, 1, overflow, 1, 1, overflow, overflow, 1, 1, 1, 1, 1, 1];
  const settings = "init_scale=1024,growth_factor=4,backoff_factor=0.25,growth_interval=3";
  const { all } = await states({ precision: `mixed:loss_scale=dynamic,${settings}` }, factors);
  assert.deepEqual(
    scales(all),
    gradScaler(
      factors.map((factor) => factor === 1),
      1024,
      4,
      0.25,
      3,
    ),
  );
});

test("a scale that would become infinite stays, and counting begins anew", async () => {
  // in bfloat16, which has the range of float32
  const precision = `mixed:type=bfloat16,loss_scale=dynamic,init_scale=${2 ** 100},growth_interval=1,growth_factor=${2 ** 14}`;
  const { all } = await states({ precision, optimizer: "sgd" }, [1, 1, 1]);
  assert.deepEqual(scales(all), gradScaler([true, true, true], 2 ** 100, 2 ** 14, 0.5, 1));
  assert.equal(scales(all)[2]?.[0], 2 ** 114);
});

test("gradients are divided by the scale: what is learnt does not depend on it", async () => {
  const learnt = async (precision: string, more: Partial<TrainingOptions> = {}) =>
    (await states({ precision, optimizer: "sgd", ...more }, [1, 1])).all[1]?.get("parameters") ?? [];
  for (const more of [{}, { clipNorm: 0.01 }, { accumulate: 2 }, { loss: "ce:chunks=2" }]) {
    const one = await learnt("mixed:loss_scale=1024", more);
    const other = await learnt("mixed:loss_scale=dynamic,init_scale=1024", more);
    assert.ok(one.length > 0);
    one.forEach((value, i) => {
      assert.ok(Math.abs(value - (other[i] as number)) <= 1e-6 * Math.max(1, Math.abs(value)), JSON.stringify(more));
    });
  }
});

test("float16 scales dynamically from 65536 unless it is told otherwise, bfloat16 does not", () => {
  const precisions = ["mixed", "mixed:type=float16", "mixed:type=bfloat16", "mixed:loss_scale=1024"];
  const stateful = (precision: string): boolean =>
    trainingStep(model, { loss: "ce", optimizer: "sgd", precision }).state.some(
      ({ before }) => before === "loss_scale",
    );
  assert.deepEqual(precisions.map(stateful), [true, true, false, false]);
});

test("lossScaleOf(settings) refuses what cannot be", () => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ["loss_scale=0", /^loss_scale is not positive: 0$/],
    ["loss_scale=much", /^setting loss_scale of mixed is not a number: much$/],
    ["loss_scale=8,growth_factor=2", /^unknown setting of mixed: growth_factor \(one of loss_scale\)$/],
    ["init_scale=-1", /^init_scale is not positive: -1$/],
    ["growth_factor=1", /^growth_factor is not above 1: 1$/],
    ["backoff_factor=1", /^backoff_factor is not between 0 and 1: 1$/],
    ["growth_interval=0.5", /^growth_interval is not a positive whole number: 0.5$/],
  ];
  for (const [settings, message] of refused)
    assert.throws(() => lossScaleOf(parseNamed(`mixed:${settings}`), "dynamic"), { message });
});
