import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Given, OptionSpec } from "../src/run/option-kinds.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo options' "));

const reference = path.join(folder, "a $reference.safetensors");

writeFileSync(reference, "");

/** Values that pass the checks of options whose kind alone does not say which do; awkward for a shell where they may be. */
const samples: Given = {
  loss: "ce:axis=1,output=it's (1)",
  optimizer: "adam:betas=0.9/0.99",
  reference,
  dims: { batch: 4, "sequence length": 128 },
  freeze: ["encoder.*", "it's $HOME; `x`", "--loss"],
  precision: "mixed:type=bfloat16",
  together: ["it's another $model.onnx", "a third.onnx"],
  copies: 3,
  vary: ["lr=1e-4,3e-4", "seed=0..7"],
  arrange: "fused",
  backend: "cuda",
  deviceSpec: "rtx4090",
  record: path.join(folder, "a recording"),
  budget: "60%",
  planner: "swapAll",
  maxSlowdown: "12.5%",
  keep: ["*attention*", "it's $HOME"],
  hostMemory: "16GiB",
  fit: "batch=24GiB",
  data: reference,
  validate: reference,
  columns: "input=it's x+$y,target=z",
  scale: "1/255",
  schedule: "cosine:warmup=10,min=1e-5",
  metrics: ["accuracy", "it's $HOME", "--loss"],
  checkpoints: path.join(folder, "check $points"),
  checkpointEvery: "500,epoch",
  resume: reference,
  out: path.join(folder, "trained 'model'.onnx"),
  reports: path.join(folder, "its reports"),
};

/** Options that another one needs beside it. */
const besides: Readonly<Record<string, Given>> = {
  variant: { planner: "mutwo", budget: "60%" },
  arrange: { copies: 2 },
  sweep: { planner: "best" },
  fit: { planner: "best" },
  monitor: { validate: reference },
  patience: { validate: reference },
};

export const besidesOf = (name: string): Given => besides[name] ?? {};

/** A value of an option that is right. */
export function sampleOf(name: string, { kind }: OptionSpec): unknown {
  const any = [kind.choices?.at(-1), 3, "it's a $word", kind.metavar ? undefined : kind.parse("", undefined)];
  const value = samples[name] ?? any.find((one) => kind.includes(one));
  assert.ok(kind.includes(value), `no sample for the option ${name}: add one to samples`);
  return value;
}
