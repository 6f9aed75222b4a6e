import { Builder } from "../../src/build/build.js";
import type { Graph, Node } from "../../src/graph/graph.js";
import { knownName } from "../../src/graph/names.js";
import { bytesOf } from "../../src/graph/values.js";
import { readModel } from "../../src/model/read.js";
import { rewrite } from "../../src/plan/rewrite.js";
import { compare } from "../../src/run/compare.js";
import { withDefaults } from "../../src/run/option-forms.js";
import { profileGraph } from "../../src/run/profile.js";
import { makePlan } from "../../src/run/replan.js";
import { openRuntime } from "../../src/runtime/open.js";
import { initialValues } from "../../src/step/initial.js";
import { stepFor } from "../../src/step/step.js";
import { common, modelFile, type Places, progressOf, table } from "./gpu-models.js";

const cases = [
  { name: "resnet50", batch: 32, budget: "60%" },
  { name: "bert_base", batch: 16, budget: "70%" },
  { name: "gpt2_small", batch: 4, budget: "60%" },
] as const;

/** The planned step with one recomputed value multiplied by 1.001: what no plan may do. Throws if nothing is recomputed. */
export function wrongly(baseline: Graph, planned: Graph): Graph {
  const own = new Map(baseline.nodes.map((node) => [node.name, node]));
  const isCopy = ({ name, outputs }: Node): boolean =>
    !own.has(name) &&
    own.has(knownName(name, own)) &&
    planned.tensors.get(outputs[0] ?? "")?.dtype === "float32" &&
    planned.nodes.some(({ inputs }) => inputs.includes(outputs[0] as string));
  const at = planned.nodes.findIndex(isCopy);
  const copy = planned.nodes[at];
  const made = copy?.outputs[0];
  if (!copy || !made) throw new Error(`nothing is recomputed: ${planned.name}`);
  const b = new Builder({ tensors: planned.tensors, nodes: [] }, false);
  b.reserve(planned.nodes);
  const [right, factor] = [b.fresh(`${made}/right`), b.fresh(`${made}/factor`)];
  const { data: _, ...type } = b.type(made);
  b.declare({ ...type, name: right });
  b.declare({ name: factor, dtype: "float32", shape: [], category: "constant", data: bytesOf("float32", [1.001]) });
  const fault: Node = {
    ...copy,
    name: `${copy.name}/fault`,
    op: "Mul",
    domain: "",
    inputs: [right, factor],
    outputs: [made],
    attributes: {},
  };
  const moved = { ...copy, outputs: copy.outputs.map((name) => (name === made ? right : name)) };
  const nodes = planned.nodes.toSpliced(at, 1, moved, fault);
  return { ...planned, nodes, tensors: b.tensors };
}

async function rowOf(places: Places, { name, batch, budget }: (typeof cases)[number]): Promise<string[]> {
  const options = withDefaults({ ...common, dims: { batch }, budget });
  const say = progressOf();
  const runtime = openRuntime("cuda", {});
  try {
    const { graph } = readModel(modelFile(places, name), { dims: { batch }, runtime });
    const { step, baseline } = stepFor(runtime, graph, options, 0);
    const values = initialValues(baseline, step, 0);
    say(`${name}: profile`);
    const before = await profileGraph(baseline, runtime, { values });
    say("plan");
    const plan = makePlan(baseline, before, options);
    const planned = rewrite(baseline, plan.decisions);
    say("compare");
    const right = (await compare(baseline, planned, { runtime, values })).equality;
    say("compare with a wrong one");
    const wrong = (await compare(baseline, wrongly(baseline, planned), { runtime, values })).equality;
    say("done");
    return [
      `${name} b${batch}, ${budget}`,
      plan.feasible ? String(plan.decisions.length) : "infeasible",
      right.bitwise ? `bits of ${right.compared} tensors` : `${right.different.length} of ${right.compared} differ`,
      right.runToRun?.toExponential(1) ?? "–",
      `${wrong.different.length} of ${wrong.compared} differ, by up to ${wrong.worstRelativeError?.toExponential(1)}`,
    ];
  } finally {
    runtime.close();
  }
}

/** Planned steps beside unplanned ones under deterministic kernels, and a wrong plan, which must be found. */
export async function equality(places: Places): Promise<string> {
  const rows: string[][] = [];
  for (const one of cases) {
    rows.push(await rowOf(places, one));
    process.stderr.write(`${rows.at(-1)?.join(" | ")}\n`);
  }
  const head = ["model", "decisions", "planned is equal", "the timed kernels, run to run", "a wrong recomputation"];
  return table(head, rows);
}
