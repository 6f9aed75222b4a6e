import assert from "node:assert/strict";
import { test } from "node:test";
import { rewrite } from "../../src/plan/rewrite.js";
import { loadGraph, type SavedTensor } from "../../src/run/run.js";
import { parseTensor, tensorText, unwire, type WiredNode, wiring } from "../../src/run/wiring.js";
import { goldenRun } from "../golden-run.js";

const run = goldenRun("resnet-h100");

const graph = loadGraph(run.graph);

const wired = (of = graph): WiredNode[] => {
  const rows = wiring(of);
  return of.nodes.map((node, rank) => ({ ...node, ...(rows[rank] as WiredNode) }));
};

test("parseTensor(tensorText(tensor)) is the tensor, whatever the name of its flat buffer", () => {
  const tensors: SavedTensor[] = [
    { name: "a", dtype: "float32", shape: [], category: "optimizer state" },
    { name: "b", dtype: "bool", shape: [0], category: "constant" },
    { name: "c", dtype: "bfloat16", shape: [2, 30, 4], category: "activation", host: true },
    { name: "d", dtype: "int64", shape: [7], category: "gradient", within: { tensor: " of\nx[", offsetBytes: 128 } },
  ];
  for (const tensor of tensors) assert.deepEqual(parseTensor(tensor.name, tensorText(tensor)), tensor);
  assert.equal(tensorText(tensors[3] as SavedTensor), "int64[7] gradient at byte 128 of  of\nx[");
  for (const text of ["", "float32 activation", "float32[2] thing", "float32[a] input", "float32[2,] input"])
    assert.equal(parseTensor("x", text), undefined, text);
});

test("unwire(wiring(graph)) is the graph, of a planned step too", () => {
  for (const one of [graph, rewrite(graph, run.plan?.decisions ?? [])]) {
    const back = unwire(one.name, wired(one));
    assert.deepEqual(back.nodes, one.nodes);
    assert.deepEqual(new Set(back.state), new Set(one.state));
    assert.deepEqual(new Set(back.outputs), new Set(one.outputs));
    assert.deepEqual(back.tensors.map(({ name }) => name).sort(), [...one.tensors.keys()].sort());
  }
});

test("unwire names the row that contradicts another", () => {
  const rows = wired();
  const changed = (rank: number, change: Partial<WiredNode>): WiredNode[] =>
    rows.map((row, i) => (i === rank ? { ...row, ...change } : row));
  const [first, second] = rows as [WiredNode, WiredNode];
  const made = second.outputs[0] as string;
  const wrong: [WiredNode[], RegExp][] = [
    [changed(1, { name: first.name }), /^Error: row 2 has the name of another node: /],
    [changed(0, { inputs: ["nothing"] }), /^Error: row 1 names a tensor that no row describes: nothing$/],
    [changed(0, { inputs: [made] }), /^Error: row 1 reads a tensor before it is made: /],
    [changed(2, { outputs: [made] }), /^Error: row 3 makes a tensor a second time: /],
    [
      changed(1, { tensors: [...second.tensors, ...first.tensors] }),
      /^Error: row 2 describes a tensor a second time: /,
    ],
    [changed(1, { renews: [{ before: "x", after: made }] }), /^Error: row 2 names a tensor that no row describes: x$/],
  ];
  for (const [list, says] of wrong) assert.throws(() => unwire("nodes.csv", list), says);
});
