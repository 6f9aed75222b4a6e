import { test } from "node:test";
import { goldenRun } from "../golden-run.js";
import { refuses } from "../refusals.js";

const golden = goldenRun("resnet-h100");

test("contradictionInGraph(saved, graph) says where the graph does not fit itself", () => {
  const [first, second] = golden.graph.nodes;
  const input = first?.inputs[0] as string;
  refuses(golden, [
    [
      "graph.nodes.0.inputs.0",
      "ghost",
      'run contradicts itself: graph.nodes[0].inputs[0] is "ghost", which is no tensor',
    ],
    [
      "graph.nodes.0.inputs.0",
      "__proto__",
      'run contradicts itself: graph.nodes[0].inputs[0] is "__proto__", which is no tensor',
    ],
    [
      "graph.nodes.0.inputs.0",
      second?.outputs[0],
      /^run contradicts itself: graph\.nodes\[0\]\.inputs\[0\] is ".*…?, which is made later$/,
    ],
    ["graph.nodes.1.name", first?.name, /^run contradicts itself: graph\.nodes\[1\] is a second /],
    ["graph.nodes.0.op", "toString", /^run contradicts itself: graph\.nodes\[0\]\.op: unknown op: toString/],
    ["graph.nodes.0.attributes", {}, /^run contradicts itself: (tensor|graph\.nodes\[0\])/],
    ["graph.tensors.0.shape", [8, 3, 32, 33], /^run contradicts itself: tensor .* makes float32/],
    [
      "graph.tensors.0.shape",
      [2 ** 40, 2 ** 40],
      /^run contradicts itself: graph\.tensors\[0\]\.shape is .*, more than there can be$/,
    ],
    ["graph.tensors.1.name", input, `run contradicts itself: graph.tensors[1] is a second ${JSON.stringify(input)}`],
    [
      "graph.nodes.3.stage",
      1,
      "run contradicts itself: graph.nodes[4].stage is 0, which is before that of the node before it",
    ],
    ["graph.loss", "ghost", 'run contradicts itself: graph.loss is "ghost", which is no tensor'],
    [
      "graph.trials",
      [{ name: "m0", array: "m0", loss: "ghost" }],
      'run contradicts itself: graph.trials[0].loss is "ghost", which is no tensor',
    ],
    ["graph.state.0.after", "ghost", 'run contradicts itself: graph.state[0].after is "ghost", which is no tensor'],
    ["graph.origins.nodes.0.1", 65, "run contradicts itself: graph.origins.nodes[0] is of module 65, and there are 65"],
  ]);
});
