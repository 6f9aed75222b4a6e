import { readFileSync } from "node:fs";
import type { Run } from "../src/run/run.js";
import { at } from "./at.js";

/** A run of golden/. */
export const goldenRun = (name: "resnet-h100" | "gpt2-h100" | "mlp-cpu"): Run =>
  JSON.parse(readFileSync(at("golden", name, "run.json"), "utf8")) as Run;
