import { readFileSync } from "node:fs";
import type { Run } from "../src/run/run.js";
import { at } from "./at.js";

/** A run of golden/, as run.json holds it; the lines that its file is cut into are for people. */
export const goldenRun = (name: "resnet-h100" | "gpt2-h100" | "mlp-cpu"): Run =>
  JSON.parse(readFileSync(at("golden", name, "run.json"), "utf8").replaceAll("\n", "")) as Run;
