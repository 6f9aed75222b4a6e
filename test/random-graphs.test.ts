import assert from "node:assert/strict";
import { after, test } from "node:test";
import { exportStep } from "../src/export/export.js";
import { type Graph, prune, tensorOf } from "../src/graph/graph.js";
import { gradientName } from "../src/graph/names.js";
import { bytesOf, valuesOf } from "../src/graph/values.js";
import { savedActivations } from "../src/memory/activations.js";
import { rewrite } from "../src/plan/rewrite.js";
import { openCpu } from "../src/runtime/cpu.js";
import { loadWithValues } from "../src/runtime/load.js";
import { initialValues } from "../src/step/initial.js";
import { lower } from "../src/step/lower.js";
import { trainingStep } from "../src/step/training.js";
import { runExported, runInterpreted } from "./exported.js";
import { makerNames, randomGraph } from "./random-graph.js";
import { relativeError } from "./step.js";

// RANDOM_GRAPHS=300 npm test -- random-graphs looks further; RANDOM_SEED starts elsewhere
const count = Number(process.env.RANDOM_GRAPHS ?? 30);

const firstSeed = Number(process.env.RANDOM_SEED ?? 1);

const runtime = openCpu({ threads: 1 });

after(() => runtime.close());

/** The forward graph without what its output does not need; statistics of layers that are not needed are not renewed. */
function needed(graph: Graph): Graph {
  const used = prune({ ...graph, state: [] });
  return prune({ ...graph, state: graph.state.filter(({ before }) => used.tensors.has(before)) });
}

const worst = (actual: Map<string, Uint8Array>, expected: Map<string, Uint8Array>): [error: number, name: string] =>
  [...expected].reduce<[number, string]>(
    (most, [name, bytes]) => {
      const other = actual.get(name) ?? new Uint8Array(0);
      if (Buffer.compare(bytes, other) === 0) return most;
      const error = relativeError(valuesOf("float32", other), valuesOf("float32", bytes));
      return error <= most[0] ? most : [error, name];
    },
    [0, ""],
  );

/** Σ gradient·direction, and the same by central differences of the loss, in float64. undefined where no kernel is. */
async function directional(
  graph: Graph,
): Promise<{ gradient: number; difference: number; size: number; loss: number } | undefined> {
  let lowered: Graph;
  const step = trainingStep(graph, { loss: "mse", optimizer: "sgd", precision: "float64" });
  try {
    lowered = lower(step, runtime.hasKernel);
  } catch {
    return undefined;
  }
  const values = initialValues(lowered, step, 0);
  const { step: loaded } = loadWithValues(lowered, runtime, values);
  try {
    const parameters = [...lowered.tensors.values()].filter((t) => t.within && t.category === "parameter");
    const names = new Set(parameters.map(({ name }) => gradientName(name)));
    const direction = new Map(
      parameters.map(({ name, shape }) => {
        const size = shape.reduce((n, d) => n * d, 1);
        return [name, Array.from({ length: size }, (_, i) => Math.sin(12.9898 * (i + 1) + name.length))];
      }),
    );
    const lossAt = async (epsilon: number) => {
      for (const [name, data] of values) loaded.write(name, data);
      for (const { name, dtype } of parameters) {
        const along = direction.get(name) as number[];
        const start = valuesOf(dtype, values.get(name) as Uint8Array);
        loaded.write(
          name,
          bytesOf(
            dtype,
            start.map((v, i) => v + epsilon * (along[i] as number)),
          ),
        );
      }
      const { observed } = await loaded.run({ observe: names });
      const loss = lowered.loss as string;
      return { loss: valuesOf(tensorOf(lowered, loss).dtype, loaded.read(loss))[0] as number, observed };
    };
    const epsilon = 1e-6;
    const { observed } = await lossAt(0);
    let [gradient, size] = [0, 0];
    for (const { name, dtype } of parameters) {
      const along = direction.get(name) as number[];
      valuesOf(dtype, observed.get(gradientName(name)) as Uint8Array).forEach((g, i) => {
        gradient += g * (along[i] as number);
        size += (g * (along[i] as number)) ** 2;
      });
    }
    const [above, below] = [(await lossAt(epsilon)).loss, (await lossAt(-epsilon)).loss];
    return { gradient, difference: (above - below) / (2 * epsilon), size: Math.sqrt(size), loss: above };
  } finally {
    loaded.close();
  }
}

test(`random graphs: ${count} training steps are the same in plain ONNX Runtime, planned or not, and to finite differences`, async () => {
  const drawn = new Set<string>();
  const failures: string[] = [];
  let compared = 0;
  for (let seed = firstSeed; seed < firstSeed + count; seed++) {
    const random = randomGraph(seed);
    for (const name of random.drawn) drawn.add(name);
    const graph = needed(random.graph);
    const where = `seed ${seed}: ${graph.nodes.map(({ op }) => op).join(" ")}`;
    try {
      const step = trainingStep(graph, { loss: "mse", optimizer: "sgd" });
      const lowered = lower(step, runtime.hasKernel);
      const values = initialValues(lowered, step, seed);
      const { model, names } = exportStep(lowered, { values, feedState: true });
      const { step: loaded } = loadWithValues(lowered, runtime, values);
      const [expected] = await runInterpreted(lowered, loaded, names, 1);
      loaded.close();
      const saved = [...savedActivations(lowered).values()].filter(({ fixed }) => !fixed);
      const all = saved.map(({ name }) => ({ activation: name, action: "recompute" as const }));
      const planned = exportStep(rewrite(lowered, all), { values, feedState: true });
      for (const [which, one] of [["unplanned", { model, names }] as const, ["planned", planned] as const]) {
        const [actual] = await runExported(one.model, one.names, lowered, values, 1);
        assert.ok(expected && actual);
        const [error, name] = worst(actual, expected);
        if (!(error < 1e-5)) failures.push(`${which} ${name} differs by ${error} (${where})`);
      }
      const derivative = await directional(graph);
      if (!derivative) continue;
      compared++;
      const { gradient, difference, size, loss } = derivative;
      // a derivative far below the loss itself holds rounding, of a loss that is constant in theory for one
      if (!(Math.abs(gradient - difference) <= 1e-4 * size + 1e-6 * Math.abs(loss)))
        failures.push(`derivative ${gradient}, by differences ${difference} (${where})`);
    } catch (error) {
      failures.push(`${(error as Error).message.split("\n")[0]} (${where})`);
    }
  }
  assert.deepEqual(failures, []);
  // enough of it was seen: most makers, and derivatives of most graphs
  if (count >= 30) assert.ok(drawn.size >= 0.8 * makerNames.length, `${drawn.size} of ${makerNames.length} makers`);
  assert.ok(compared >= 0.5 * count, `${compared} of ${count} derivatives`);
});
