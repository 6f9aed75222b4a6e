// mutwo beside PyTorch on the same GPU: npm run bench:gpu [-- --models a,b] [--record DIR] [--json]
// Prints the tables of `mutwo help benchmarks`; PyTorch's columns are empty where python3 has no PyTorch with CUDA.
// In their place: --gradients (against float64), --equality (planned steps, and a wrong one), --memory (seen from
// outside), --many (each model twice in one process), --large (a step larger than the GPU), --train (data that arrives),
// --together (several models in one step; --fixtures is the folder of `python3 torch_together.py --export`; --no-torch,
// --cpu).

import { mkdirSync, writeSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { equality } from "./gpu-equality.js";
import { gradients } from "./gpu-gradients.js";
import { large } from "./gpu-large.js";
import { many } from "./gpu-many.js";
import { memory } from "./gpu-memory.js";
import { benchModels, type Places } from "./gpu-models.js";
import { steps } from "./gpu-steps.js";
import { togetherBench } from "./gpu-together.js";
import { train } from "./gpu-train.js";

const options = {
  record: { type: "string" },
  models: { type: "string" },
  fixtures: { type: "string" },
  json: { type: "boolean" },
  gradients: { type: "boolean" },
  equality: { type: "boolean" },
  memory: { type: "boolean" },
  many: { type: "boolean" },
  large: { type: "boolean" },
  together: { type: "boolean" },
  "no-torch": { type: "boolean" },
  cpu: { type: "boolean" },
  train: { type: "boolean" },
} as const;

async function main(): Promise<void> {
  const { values: flags } = parseArgs({ options });
  const places: Places = {
    models: flags.fixtures ?? path.join(__dirname, "../fixtures"),
    scripts: __dirname,
  };
  const names = flags.models?.split(",");
  if (flags.together) {
    const options = { backend: flags.cpu ? "cpu" : "cuda", torch: !flags["no-torch"] && !flags.cpu } as const;
    const results = await togetherBench(places, names, options, (text) => writeSync(1, text));
    if (flags.json) writeSync(1, `${JSON.stringify(results)}\n`);
    return;
  }
  const models = benchModels.filter(({ name }) => names?.includes(name) ?? true);
  const parts: string[] = [];
  if (flags.equality) parts.push(await equality(places));
  if (flags.memory) parts.push(await memory(places, models));
  if (flags.many) parts.push(await many(places));
  if (flags.large) parts.push(await large(places));
  if (flags.train) parts.push(await train(places));
  if (flags.gradients) parts.push(await gradients(places, names));
  if (parts.length) {
    process.stdout.write(parts.join("\n"));
    return;
  }
  if (flags.record) mkdirSync(flags.record, { recursive: true });
  const { text, results } = await steps(places, models, flags.record);
  process.stdout.write(flags.json ? `${JSON.stringify(results)}\n` : text);
}

void main().catch(({ message }: Error) => {
  process.stderr.write(`bench: ${message.split("\n")[0]}\n`);
  process.exit(2);
});
