import { parseGraph } from "../src/build/text.js";
import type { Graph } from "../src/graph/graph.js";
import { layout } from "../src/memory/layout.js";
import { openRuntime } from "../src/runtime/open.js";
import { lowerFor } from "../src/step/lower.js";

/** Two steps of so many matrix products side by side (argv[2]), three times each; run over stub libraries. */
async function main(): Promise<void> {
  const count = Number(process.argv[2]);
  const runtime = openRuntime("cuda", {});
  try {
    const lanes = Array.from({ length: count }, (_, i) => `y${i} = MatMul(x, w)`).join(" ");
    const outputs = Array.from({ length: count }, (_, i) => `y${i}`).join(", ");
    const text = `graph(float32[3,4] x, float32[4,5] w) => (${outputs}) { ${lanes} }`;
    const lowered = lowerFor(runtime, parseGraph(text));
    const graph: Graph = { ...lowered, nodes: lowered.nodes.map((node, lane) => ({ ...node, lane })) };
    const steps = [runtime.load(graph, layout(graph)), runtime.load(graph, layout(graph))];
    for (let i = 0; i < 3; i++) for (const step of steps) await step.run();
    const { memory } = await (steps[0] as (typeof steps)[number]).measure({ iterations: 1, warmups: 0, copyBytes: [] });
    console.log(JSON.stringify(memory));
    for (const step of steps) step.close();
  } finally {
    runtime.close();
  }
}

main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 2;
});
