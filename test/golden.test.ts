import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, test } from "node:test";
import { runSummary } from "../src/commands/summary.js";
import { pageParts } from "../src/report/page.js";
import { reportHtml } from "../src/report/report.js";
import { activationCsv, moduleCsv, nodeCsv } from "../src/report/tables.js";
import type { ProfileModelOptions } from "../src/run/options.js";
import { profileModel } from "../src/run/pipeline.js";
import type { Environment, Run } from "../src/run/run.js";
import { at } from "./at.js";
import { dataText } from "./page-data.js";

/** Where the test was started: the paths that it prints are from there. */
const started = process.cwd();

// models and recordings have the same paths in every checkout, whatever a shell makes of the checkout's own
process.chdir(at(".."));

/** Two steps of an H100, answered from recordings, and one that runs here. */
const runs: readonly { name: string; model: string; options: ProfileModelOptions }[] = [
  {
    name: "resnet-h100",
    model: "resnet_bottleneck_dynamic.onnx",
    options: {
      loss: "ce",
      optimizer: "sgd:lr=1e-2,momentum=0.9",
      dims: { batch: 8 },
      backend: "replay:test/recordings/resnet_bottleneck.recording",
      budget: "75%",
      planner: "mutwo",
      swap: false,
    },
  },
  {
    name: "gpt2-h100",
    model: "gpt2_tiny.dynamo.onnx",
    options: {
      loss: "ce",
      optimizer: "adam:lr=1e-3",
      backend: "replay:test/recordings/gpt2_tiny.recording",
      planner: "swapAll",
    },
  },
  {
    name: "mlp-cpu",
    model: "mlp.ts.onnx",
    options: { loss: "mse", optimizer: "adamw:lr=1e-3", freeze: ["mod.0.bias"], planner: "recomputeAll", threads: 1 },
  },
];

const environment: Environment = {
  mutwo: "0.0.0",
  node: "v20",
  onnxruntime: "1.29",
  os: "Linux",
  cpu: "a CPU",
  cores: 2,
  memoryBytes: 2 ** 34,
};

/** The run with what differs from machine to machine and from time to time set to fixed values: every time 1 ms. */
function normalised(run: Run): Run {
  const set = (key: string, value: unknown): unknown => {
    if (key === "samplesMs" || key === "losses") return key === "losses" ? (value as unknown[]).slice(0, 0) : [1];
    if (typeof value === "number" && /Ms$|^workspaceBytes$/.test(key)) return key.endsWith("Ms") ? 1 : 0;
    if (key === "recomputeRatio" && value !== null) return 1;
    if (key === "worstRelativeError" || key === "why") return typeof value === "string" ? "" : 0;
    return walk(value);
  };
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, set(key, inner)]));
  };
  const replays = run.before.backend === "replay";
  const fixed = { id: "20260101-000000-golden", createdAt: "2026-01-01T00:00:00.000Z", environment };
  if (replays) {
    const text = JSON.stringify({ ...run, ...fixed });
    return { ...(JSON.parse(text, (key, value) => (key === "planningMs" ? 1 : value)) as Run) };
  }
  const device = { ...run.before.device, name: "a CPU", runtimeVersion: "1.29" };
  const own = walk({ ...run, ...fixed }) as Run;
  return { ...own, before: { ...own.before, device }, after: own.after && { ...own.after, device } };
}

/** JSON with a line for each row of a table and each field of an object, so that a difference can be read. */
function rows(value: unknown, depth = 0): string {
  const isObject = typeof value === "object" && value !== null;
  if (Array.isArray(value) && value.some((item) => typeof item === "object"))
    return `[\n${value.map((item) => JSON.stringify(item)).join(",\n")}\n]`;
  if (!isObject || Array.isArray(value) || depth > 2) return JSON.stringify(value);
  const fields = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return `{\n${fields.map(([key, inner]) => `${JSON.stringify(key)}: ${rows(inner, depth + 1)}`).join(",\n")}\n}`;
}

/** A page with a line for each row of the data in it. */
const lines = (text: string): string => text.replace(/([\]}],)(?=[[{"])/g, "$1\n").replace(/(:\[)(?=\{)/g, "$1\n");

/** The page without the parts that every page has, which are files of their own, and with its data as text. */
function page(run: Run): string {
  let html = reportHtml(run).replace(/sha256-[\w+/]+(=|&#x3D;)*/g, "(hash)");
  const data = dataText(html);
  html = html.replace(/(id="data">)[^<]*/, (_, start: string) => `${start}\n${lines(data)}\n`);
  for (const [name, text] of Object.entries(pageParts())) {
    assert.ok(html.includes(text), `the report lacks its ${name}`);
    html = html.replace(text, () => `(${name})`);
  }
  return html;
}

const fromHere = (file: string): string => path.relative(started, file) || ".";

/** The command that shows how a text differs from its file in golden/, where it does; the text is beside it then, as .new. */
function difference(file: string, text: string): string[] {
  const accepted = at("golden", file);
  const fresh = `${accepted}.new`;
  rmSync(fresh, { force: true });
  if (existsSync(accepted) && readFileSync(accepted, "utf8") === text) return [];
  mkdirSync(path.dirname(accepted), { recursive: true });
  writeFileSync(fresh, text);
  return [`diff ${fromHere(accepted)} ${fromHere(fresh)}`];
}

let mismatch = false;

after(() => {
  if (!mismatch) return;
  const folder = fromHere(at("golden"));
  console.log(`to accept what differs: find ${folder} -name '*.new' -exec sh -c 'mv "$1" "\${1%.new}"' - {} \\;`);
});

for (const { name, model, options } of runs)
  test(`golden/${name}: run.json, tables, summary and report are as before`, async () => {
    const run = normalised(await profileModel(`test/fixtures/${model}`, options));
    const made: Record<string, string> = {
      "run.json": `${rows(run)}\n`,
      "nodes.csv": nodeCsv(run),
      "activations.csv": activationCsv(run),
      "modules.csv": moduleCsv(run),
      "planned-modules.csv": moduleCsv(run, "planned"),
      "planned-nodes.csv": nodeCsv(run, "planned"),
      "planned-activations.csv": activationCsv(run, "planned"),
      "summary.txt": `${runSummary(run)}\n`,
      "report.html": page(run),
    };
    const differ = Object.entries(made).flatMap(([file, text]) => difference(path.join(name, file), text));
    mismatch ||= differ.length > 0;
    assert.ok(differ.length === 0, `these differ:\n${differ.join("\n")}`);
  });
