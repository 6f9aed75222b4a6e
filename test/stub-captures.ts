import { parseGraph } from "../src/build/text.js";
import { layout } from "../src/memory/layout.js";
import { openRuntime } from "../src/runtime/open.js";
import { lowerFor } from "../src/step/lower.js";

/** Two steps of the graph in argv[2] in turn, three times each after they are captured; run over stub libraries. */
async function main(): Promise<void> {
  const runtime = openRuntime("cuda", {});
  try {
    const graph = lowerFor(runtime, parseGraph(process.argv[2] as string));
    const steps = [runtime.load(graph, layout(graph)), runtime.load(graph, layout(graph))];
    for (let i = 0; i < 5; i++) for (const step of steps) await step.run();
    for (const step of steps) step.close();
  } finally {
    runtime.close();
  }
}

main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 2;
});
