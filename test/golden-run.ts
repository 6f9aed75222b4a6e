import { readFileSync } from "node:fs";
import type { Run, SavedGraph } from "../src/run/run.js";
import { at } from "./at.js";

/** A run of golden/. */
export const goldenRun = (name: "resnet-h100" | "gpt2-h100" | "mlp-cpu"): Run =>
  JSON.parse(readFileSync(at("golden", name, "run.json"), "utf8")) as Run;

/** The graph as if one of its nodes were of module `net.fc`, line 7 of `net.py`. */
export const withOrigins = (graph: SavedGraph, node: string): SavedGraph => ({
  ...graph,
  origins: {
    basis: "exporter",
    modules: [{ path: "net.fc", class: "torch.nn.Linear" }],
    sources: [{ file: "net.py", line: 7, code: "x = self.fc(x)" }],
    nodes: [[node, 0, 0]],
  },
});
