import assert from "node:assert/strict";
import { test } from "node:test";
import { type DType, int, type Node } from "../../src/graph/graph.js";
import { bytesOf, type Value, valuesOf } from "../../src/graph/values.js";
import { type BindOptions, bindModel } from "../../src/model/bind.js";
import type { Model, ModelNode } from "../../src/model/model.js";
import { modelNode } from "./model-node.js";
import { modelOf as fileOf, vectorsOf } from "./model-of.js";

const node = (text: string, attributes: ModelNode["attributes"] = {}, name?: string): ModelNode => ({
  ...modelNode(text),
  attributes,
  ...(name !== undefined && { name }),
});

/** A model of float32 vectors: x [batch,2] → y. */
const modelOf = (nodes: ModelNode[], initializers: Record<string, number[]> = {}, more: Partial<Model> = {}): Model =>
  fileOf(nodes, {
    inputs: [{ name: "x", dtype: "float32", dims: ["batch", 2] }],
    outputs: [vectorOut("y")],
    initializers: vectorsOf(initializers),
    ...more,
  });

const vectorOut = (name: string, dtype: DType = "float32") => ({ name, dtype, dims: [] });

/** Binds with batch 3; folding is adding one vector [10,20] for whatever is asked. */
function bind(model: Model, options: Partial<BindOptions> = {}) {
  const folded: string[] = [];
  const evaluate = ({ op, name }: Node) => {
    folded.push(`${op} ${name}`);
    return [{ dtype: "float32" as const, shape: [2], data: bytesOf("float32", [10, 20]) }];
  };
  const { graph, notes, untrained } = bindModel(model, { dims: { batch: 3 }, evaluate, ...options });
  const nodes = graph.nodes.map(({ op, inputs, outputs }) => `${outputs} = ${op}(${inputs})`);
  return { graph, notes, untrained, folded, nodes };
}

test("bindModel(model) binds dimensions and tells parameters from constants", () => {
  const { graph } = bind(modelOf([node("h = Mul(x, w)"), node("y = Add(h, mask)")], { w: [1, 2], mask: [0, 1] }));
  assert.deepEqual(
    [...graph.tensors.values()].map(({ name, category, shape }) => `${category} ${name} [${shape}]`),
    ["input x [3,2]", "parameter w [2]", "constant mask [2]", "activation h [3,2]", "activation y [3,2]"],
  );
});

test("bindModel(model) folds a node whose inputs are all constants, once, and keeps no node for it", () => {
  const nodes = [node("k = Sqrt(mask)"), node("h = Mul(x, w)"), node("y = Add(h, k)")];
  const { graph, folded, nodes: left } = bind(modelOf(nodes, { w: [1, 2], mask: [0, 1] }));
  assert.deepEqual(folded, ["Sqrt k"]);
  assert.deepEqual([...(graph.tensors.get("k")?.data ?? [])], [...bytesOf("float32", [10, 20])]);
  assert.deepEqual(left, ["h = Mul(x,w)", "y = Add(h,k)"]);
});

test("bindModel(model) leaves an Identity out, but for one that makes an output", () => {
  const { nodes } = bind(modelOf([node("i = Identity(x)"), node("h = Relu(i)"), node("y = Identity(h)")]));
  assert.deepEqual(nodes, ["h = Relu(x)", "y = Identity(h)"]);
});

test("bindModel(model, {output}) leaves out what that output does not need, before anything is refused", () => {
  const nodes = [node("y = Mul(x, w)"), node("best = ArgMax(y)"), node("z = Frobnicate(y, v, text)")];
  const outputs = [vectorOut("best", "int64"), vectorOut("y"), vectorOut("z")];
  const unreadable = new Map([["text", new Error("unsupported element type: string (text)")]]);
  const inputs = ["x", "other"].map((name) => ({ name, dtype: "float32" as const, dims: [`n_${name}`, 2] }));
  const model = modelOf(nodes, { w: [1, 2], v: [3, 4] }, { inputs, outputs, unreadable });
  const dims = { n_x: 3 };
  const chosen = bind(model, { output: null, dims });
  assert.deepEqual([chosen.nodes, chosen.graph.outputs, chosen.graph.inputs], [["y = Mul(x,w)"], ["y"], ["x"]]);
  assert.deepEqual(chosen.untrained, [{ name: "v", shape: [2], reason: "no wanted output depends on it" }]);
  assert.deepEqual(bind(model, { output: "best", dims }).graph.outputs, ["best"]);
  assert.throws(() => bind(model, { dims }), { message: "unsupported element type: string (text)" });
  assert.throws(() => bind(model, { output: "q", dims }), { message: "unknown output: q (one of best, y, z)" });
  // any tensor in the file may be wanted, of the file's dimensions those that it needs
  assert.deepEqual(
    bind(modelOf([node("h = Mul(x, w)"), node("y = Frobnicate(h)")], { w: [1, 2] }), { output: "h" }).nodes,
    ["h = Mul(x,w)"],
  );
});

test("bindModel(model) takes the branch of an If whose condition follows from the bound shapes", () => {
  const branch = (text: string) => ({
    inputs: [],
    outputs: ["t"],
    initializers: new Map(),
    nodes: [node(text)],
    unreadable: new Map(),
  });
  const choice = {
    ...node("h = If(c)"),
    subgraphs: { then_branch: branch("t = Relu(p)"), else_branch: branch("t = Unknown(p)") },
  };
  const nodes = [node("p = Mul(x, w)"), node("n = Size(p)"), node("c = Equal(n, six)"), choice, node("y = Neg(h)")];
  const model = modelOf(nodes, { w: [1, 2] });
  const six = { dtype: "int64" as const, shape: [], data: bytesOf("int64", [6]) };
  const evaluate = (_: Node, values: readonly (Value | undefined)[]): Value[] => {
    const [a, b] = values.map((value) => (value ? valuesOf(value.dtype, value.data)[0] : undefined));
    return [{ dtype: "bool", shape: [], data: bytesOf("bool", [a === b ? 1 : 0]) }];
  };
  const taken = { ...model, initializers: new Map([...model.initializers, ["six", six] as const]) };
  assert.deepEqual(bind(taken, { evaluate }).nodes, ["p = Mul(x,w)", "h/t = Relu(p)", "y = Neg(h/t)"]);
  assert.throws(() => bind(taken, { evaluate, dims: { batch: 4 } }), { message: /^unknown op: Unknown \(node h\/t\)/ });
});

test("bindModel(model) notes an output that the file declares with another shape", () => {
  const model = modelOf([node("y = Relu(x)")], {}, { outputs: [{ name: "y", dtype: "float32", dims: [1, 2] }] });
  assert.deepEqual(bind(model).notes, ["output y is [3,2] where the file declares [1,2]: what the nodes make is used"]);
});

/** Batch norm of x [3,2] with running statistics m and v. */
const norm = (name: string, from: string, to: string, training: boolean): ModelNode =>
  node(
    `${to}${training ? `, ${to}m, ${to}v` : ""} = BatchNormalization(${from}, s, b, m, v)`,
    { training_mode: int(training ? 1 : 0) },
    name,
  );

const statistics = { s: [1, 1], b: [0, 0], m: [0, 0], v: [1, 1] };

test("bindModel(model) chains the state of a layer that is used twice", () => {
  const twice = modelOf([norm("n1", "x", "h", true), norm("n2", "h", "y", true)], statistics);
  const { graph } = bind(twice);
  const [first, second] = graph.nodes.filter(({ op }) => op === "BatchNormalization");
  assert.deepEqual(first?.inputs.slice(3, 5), ["m", "v"]);
  assert.deepEqual(second?.inputs.slice(3, 5), first?.outputs.slice(1, 3));
  assert.deepEqual(
    graph.state,
    ["m", "v"].map((before, i) => ({ before, after: second?.outputs[1 + i] })),
  );
});

test("bindModel(model, {dropsNothing}) hands on what dropout in training would drop from", () => {
  const dropped = modelOf([node("d, k = Dropout(x, r, t)"), node("y = Relu(d)")], {});
  const one = (dtype: "float32" | "bool"): Value => ({ dtype, shape: [], data: bytesOf(dtype, [1]) });
  const half = { ...one("float32"), data: bytesOf("float32", [0.5]) };
  const model = { ...dropped, initializers: new Map([["r", half] as const, ["t", one("bool")] as const]) };
  assert.deepEqual(bind(model).nodes, ["d,k = Dropout(x,r,t)", "y = Relu(d)"]);
  assert.deepEqual(bind(model, { dropsNothing: true }).nodes, ["y = Relu(x)"]);
});

test("bindModel(model, {batchNorm}) runs batch norm as asked; without, as the file says, with a note", () => {
  const frozen = modelOf([norm("n", "x", "y", false)], statistics);
  const modeOf = (options: Partial<BindOptions>, model = frozen) => {
    const { graph, notes } = bind(model, options);
    return [graph.state.length > 0, notes.filter((note) => note.includes("batch norm")).length];
  };
  assert.deepEqual(modeOf({}), [false, 1]);
  assert.deepEqual(modeOf({ batchNorm: "training" }), [true, 0]);
  assert.deepEqual(modeOf({ batchNorm: "inference" }, modelOf([norm("n", "x", "y", true)], statistics)), [false, 0]);
  const traced = modelOf([norm("node__native_batch_norm_legit_functional", "x", "y", false)], statistics);
  assert.deepEqual(modeOf({}, traced), [true, 1]);
});

test("bindModel(model) names the node of whatever is wrong, once", () => {
  assert.throws(() => bind(modelOf([node("y = Frobnicate(x)")])), {
    message: "unknown op: Frobnicate (node y); export it as standard ONNX ops, of opset 7 to 24",
  });
  assert.throws(() => bind(modelOf([node("y = Mul(x, w)")], { w: [1, 2, 3] })), {
    message: "shape mismatch: [3,2] and [3] do not broadcast (axis 1) (node y: Mul of x float32[3,2], w float32[3])",
  });
  const fails = (): never => {
    throw new Error("out of luck");
  };
  const constant = modelOf([node("k = Sqrt(mask)"), node("y = Add(x, k)")], { mask: [0, 1] });
  assert.throws(() => bind(constant, { evaluate: fails }), { message: "out of luck (node k)", node: "k" });
});

test("bindModel(model) lists tensors that no node reads, and notes an opset that is converted", () => {
  const nodes = [node("y = Mul(x, w)")];
  const unused = { w: [1, 2], a: [1], b: [1], c: [1], d: [1] };
  const { notes, untrained } = bind(modelOf(nodes, unused, { opset: 21, opsets: { "": 21 } }));
  assert.deepEqual(notes, ["opset 21 is converted down to 18"]);
  assert.deepEqual(
    untrained.map(({ name, reason }) => `${name}: ${reason}`),
    ["a", "b", "c", "d"].map((name) => `${name}: no node reads it`),
  );
});
