import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type Graph, tensorOf } from "../../src/graph/graph.js";
import { bytesOf } from "../../src/graph/values.js";
import { savedActivations } from "../../src/memory/activations.js";
import { readModel } from "../../src/model/read.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { compare } from "../../src/run/compare.js";
import { openCpu } from "../../src/runtime/cpu.js";
import type { Runtime } from "../../src/runtime/runtime.js";
import { initialValues, seededGraph } from "../../src/step/initial.js";
import { lowerFor } from "../../src/step/lower.js";
import { trainingStep } from "../../src/step/training.js";
import { wrongly } from "../bench/gpu-equality.js";

const runtime = openCpu();

after(() => runtime.close());

const step = trainingStep(readModel("test/fixtures/mlp.ts.onnx", { runtime }).graph, { loss: "mse", optimizer: "sgd" });

const baseline = seededGraph(lowerFor(runtime, step), 0);

const values = initialValues(baseline, step, 0);

const first = [...savedActivations(baseline).keys()].slice(0, 1);

/** The baseline with one scalar constant changed, so that its update differs. */
function disturbed(): Graph {
  const constant = [...baseline.tensors.values()].find(
    ({ category, data, dtype }) => category === "constant" && dtype === "float32" && data?.length === 4,
  );
  assert.ok(constant);
  const tensors = new Map(baseline.tensors);
  tensors.set(constant.name, { ...tensorOf(baseline, constant.name), data: bytesOf("float32", [0.5]) });
  return { ...baseline, tensors };
}

test("compare(graph, planned) finds a planned step equal bit by bit, and times both as often", async () => {
  const planned = rewrite(
    baseline,
    first.map((activation) => ({ activation, action: "recompute" as const })),
  );
  const { equality, paired } = await compare(baseline, planned, { runtime, values });
  assert.deepEqual([equality.different, equality.bitwise, equality.worstRelativeError], [[], true, 0]);
  const parameters = [...step.tensors.values()].filter((t) => t.category === "parameter" && t.within).length;
  assert.equal(equality.compared, 2 * (1 + parameters + baseline.state.length));
  assert.equal(paired?.unplanned.samplesMs.length, paired?.planned.samplesMs.length);
  assert.ok((paired?.planned.samplesMs.length ?? 0) > 1);
});

test("compare(graph, planned) names what differs, with the step in which it does", async () => {
  const { equality } = await compare(baseline, disturbed(), { runtime, values });
  assert.equal(equality.bitwise, false);
  assert.ok((equality.worstRelativeError ?? Number.NaN) > 1e-6);
  assert.ok(equality.different.length > 0);
  for (const name of equality.different) assert.match(name, / in step [12]$/);
});

/** The runtime with a deterministic one beside it; both say what is run on them. */
function withExact(disturb: (results: ReadonlyMap<string, Uint8Array>) => ReadonlyMap<string, Uint8Array>) {
  const said: string[] = [];
  const saying = (who: string, change: typeof disturb): Runtime => ({
    ...runtime,
    load(graph, places) {
      const step = runtime.load(graph, places);
      said.push(`${who} loads ${graph === baseline ? "unplanned" : "planned"}`);
      return {
        ...step,
        async run(options) {
          const result = await step.run(options);
          return options?.observe ? { ...result, observed: change(result.observed) } : result;
        },
      };
    },
    close: () => void said.push(`${who} closes`),
  });
  const exact = saying("deterministic", (results) => results);
  return { said, runtime: { ...saying("fast", disturb), deterministic: () => exact } };
}

let calls = 0;

/** The results with other bits each time. */
function off(results: ReadonlyMap<string, Uint8Array>): ReadonlyMap<string, Uint8Array> {
  const bits = calls++ % 3;
  return new Map([...results].map(([name, bytes]) => [name, bytes.map((byte, i) => (i === 0 ? byte ^ bits : byte))]));
}

test("compare(graph, planned) compares bits under deterministic kernels, and times the others", async () => {
  const planned = rewrite(
    baseline,
    first.map((activation) => ({ activation, action: "recompute" as const })),
  );
  const both = withExact(off);
  const { equality } = await compare(baseline, planned, { runtime: both.runtime, values });
  assert.deepEqual(both.said, [
    "deterministic loads unplanned",
    "deterministic loads planned",
    "fast loads unplanned",
    "fast loads unplanned",
    "deterministic closes",
    "fast loads unplanned",
    "fast loads planned",
  ]);
  assert.deepEqual([equality.bitwise, equality.different, equality.deterministic], [true, [], true]);
  assert.ok((equality.runToRun ?? 0) > 0);
  assert.equal(equality.unstable, undefined);
});

test("compare(graph, planned) finds a wrong plan however much the timed kernels vary", async () => {
  const { equality } = await compare(baseline, disturbed(), { runtime: withExact(off).runtime, values });
  assert.ok(equality.different.length > 0);
  assert.equal(equality.unstable, undefined);
});

test("compare(graph, planned) finds a recomputation of another value: the one with which the GPU is tried", async () => {
  const decisions = first.map((activation) => ({ activation, action: "recompute" as const }));
  const planned = rewrite(baseline, decisions);
  const { equality } = await compare(baseline, wrongly(baseline, planned), { runtime, values });
  assert.ok(equality.different.length > 0);
  assert.throws(() => wrongly(baseline, baseline), /^Error: nothing is recomputed: /);
});

test("compare(graph, planned) finds one bit", async () => {
  const exact =
    (graph: Graph): Runtime["load"] =>
    (loaded, places) => {
      const step = runtime.load(loaded, places);
      const flipped = (results: ReadonlyMap<string, Uint8Array>) => {
        const [name, bytes] = [...results].find(([name]) => name !== graph.loss) as [string, Uint8Array];
        return new Map([...results, [name, bytes.map((byte, i) => (i === 0 ? byte ^ 1 : byte))]]);
      };
      return {
        ...step,
        run: async (options) => {
          const result = await step.run(options);
          return loaded === graph && options?.observe ? { ...result, observed: flipped(result.observed) } : result;
        },
      };
    };
  const planned = { ...baseline };
  const { equality } = await compare(baseline, planned, { runtime: { ...runtime, load: exact(planned) }, values });
  assert.equal(equality.different.length, 2); // of one tensor, in both steps
  assert.equal(equality.bitwise, false);
  assert.ok((equality.worstRelativeError ?? 0) > 0);
});

test("compare(graph, planned) holds what no kernel computes the same each time to its own variation, and names it", async () => {
  const load: Runtime["load"] = (loaded, places) => {
    const step = runtime.load(loaded, places);
    return {
      ...step,
      run: async (options) => {
        const result = await step.run(options);
        const varying = [...result.observed].filter(([name]) => name === baseline.state[0]?.after);
        return { ...result, observed: new Map([...result.observed, ...off(new Map(varying))]) };
      },
    };
  };
  const after = baseline.state[0]?.after;
  const same = await compare(baseline, { ...baseline }, { runtime: { ...runtime, load }, values });
  assert.deepEqual(same.equality.unstable, [`${after} in step 1`, `${after} in step 2`]);
  assert.deepEqual([same.equality.different, same.equality.bitwise], [[], false]);
  // what is wrong is found beside it
  const wrong = await compare(baseline, disturbed(), { runtime: { ...runtime, load }, values });
  assert.ok(wrong.equality.different.length > 0);
});

test("compare(graph, planned) times nothing where both steps do not fit at once", async () => {
  const small: Runtime = { ...runtime, freeBytes: () => 1024 };
  const { equality, paired } = await compare(baseline, baseline, { runtime: small, values });
  assert.equal(paired, null);
  assert.equal(equality.bitwise, true);
});
