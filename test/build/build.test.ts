import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { parseGraph } from "../../src/build/text.js";

const refuse = (body: string, message: RegExp): void =>
  assert.throws(
    () => parseGraph(`graph g(float32[2,3] a, float32[4,5] b, int64[2] i, float64[2,3] d) => (y) {${body}}`),
    message,
  );

test("Builder.add names node, op, tensors and both shapes where shapes do not fit", () => {
  refuse("y = MatMul(a, b)", /\(node y: MatMul of a float32\[2,3\], b float32\[4,5\]\)/);
  refuse("[sum] y = Add(a, b)", /shape mismatch: \[2,3\] and \[4,5\] do not broadcast .*\(node sum: Add of a float32/);
  refuse("y = Gemm(a, b, i)", /\(node y: Gemm of a float32\[2,3\], b float32\[4,5\], i int64\[2\]\)/);
  refuse("y = Concat<axis=0>(a, b)", /\(node y: Concat of a float32\[2,3\], b float32\[4,5\]\)/);
  refuse("y = Conv(a, b)", /shape mismatch: X \[2,3\] for W \[4,5\].*\(node y: Conv of/);
});

test("Builder.add refuses inputs of element types that do not go together", () => {
  refuse(
    "y = Add(a, d)",
    /^Error: type mismatch: float32 and float64 \(node y: Add of a float32\[2,3\], d float64\[2,3\]\)/,
  );
  refuse("y = MatMul(a, d)", /type mismatch: float32 and float64/);
  refuse("y = Mul(i, a)", /type mismatch: int64 and float32/);
});

/** A builder with an input x of float32[2,3]. */
function started(): Builder {
  const b = new Builder();
  b.declare({ name: "x", dtype: "float32", shape: [2, 3], category: "input" });
  return b;
}

test("Builder.op names nodes after their op and scope, outputs after their node, and takes no name twice", () => {
  const b = started();
  assert.deepEqual([b.op("Relu", ["x"]), b.op("Relu", ["x"])], ["Relu:0", "Relu_2:0"]);
  b.scope = "layer";
  assert.equal(b.op("Relu", ["x"], {}, { outputs: ["y"] }), "y");
  assert.deepEqual(
    b.nodes.map(({ name }) => name),
    ["Relu", "Relu_2", "layer/Relu"],
  );
  assert.deepEqual([b.fresh("y"), b.fresh("y"), b.fresh("z")], ["y_2", "y_3", "z"]);
  assert.throws(() => b.declare({ ...b.type("x") }), /^Error: duplicate tensor: x$/);
});

test("Builder.add gives nodes the phase and tensors the category that are set", () => {
  const b = started();
  b.phase = "backward";
  b.category = "gradient";
  const [y = ""] = b.add("Relu", ["x"]);
  const [z = ""] = b.add("Relu", [y], {}, { category: "temporary" });
  assert.deepEqual([b.type(y).category, b.type(z).category], ["gradient", "temporary"]);
  assert.deepEqual(
    b.nodes.map(({ phase }) => phase),
    ["backward", "backward"],
  );
  assert.throws(() => b.add("Relu", ["x"], {}, { count: 2 }), /^Error: Relu has no output 1 \(node Relu_3\)$/);
});

test("Builder.constant shares equal constants; one number stands for every element", () => {
  const b = started();
  const ones = b.constant("float32", [3], 1);
  assert.equal(b.constant("float32", [3], [1, 1, 1]), ones);
  assert.notEqual(b.constant("float64", [3], 1), ones);
  const many = b.constant("bool", [2, 300], 1);
  assert.equal(b.constant("bool", [2, 300], 1), many);
  assert.equal(b.constant("bool", [2, 300], new Array<number>(600).fill(1)), many);
  assert.notEqual(b.constant("bool", [300, 2], 1), many);
  assert.notEqual(b.constant("bool", [2, 300], 0), many);
  assert.notEqual(b.constant("float32", [1, 3], 1), ones);
  assert.deepEqual(b.type(ones).data, new Uint8Array(new Float32Array([1, 1, 1]).buffer));
  assert.equal(b.type(b.scalar(0.5, "x")).dtype, "float32");
  assert.deepEqual(b.type(b.vector([1, 0])).shape, [2]);
});

test("Builder.apart takes the nodes that some work adds out again, and puts the settings back even if it fails", () => {
  const b = started();
  const { result, nodes } = b.apart({ phase: "update", category: "temporary", scope: "apart" }, () => {
    b.op("Relu", ["x"], {}, { outputs: ["y"] });
    return b.op("Neg", ["y"], {}, { outputs: ["z"] });
  });
  assert.equal(result, "z");
  assert.deepEqual(
    nodes.map(({ name, phase }) => [name, phase]),
    [
      ["apart/Relu", "update"],
      ["apart/Neg", "update"],
    ],
  );
  assert.deepEqual([b.nodes.length, b.producer("z"), b.type("z").category], [0, undefined, "temporary"]);
  const fails = () => b.apart({ phase: "update", category: "temporary", scope: "apart" }, () => b.op("Nope", ["x"]));
  assert.throws(fails, /unknown op: Nope/);
  assert.deepEqual([b.phase, b.category, b.scope], ["forward", "activation", ""]);
  for (const node of nodes) b.append(node);
  assert.equal(b.producer("z")?.name, "apart/Neg");
  assert.equal(b.node("apart/Relu").op, "Relu");
  assert.throws(() => b.node("Relu"), /^Error: unknown node: Relu$/);
});

test("Builder.rename gives a made tensor another name where it is made and read", () => {
  const b = started();
  b.op("Relu", ["x"], {}, { outputs: ["y"] });
  b.op("Add", ["y", "y"], {}, { outputs: ["z"] });
  b.rename("y", "hidden");
  assert.deepEqual(
    b.nodes.map(({ inputs, outputs }) => [inputs, outputs]),
    [
      [["x"], ["hidden"]],
      [["hidden", "hidden"], ["z"]],
    ],
  );
  assert.equal(b.producer("hidden")?.op, "Relu");
  assert.throws(() => b.type("y"), /^Error: unknown tensor: y$/);
  assert.throws(() => b.rename("x", "input"), /^Error: no node makes tensor: x$/);
});

test("Builder.placeWithin places a view's storage, once, and only what a node makes", () => {
  const b = started();
  b.phase = "backward";
  b.category = "gradient";
  b.op("Neg", ["x"], {}, { outputs: ["g"] });
  b.op("Reshape", ["g", b.vector([6])], {}, { outputs: ["flat"] });
  const within = { tensor: "gradients", offsetBytes: 8 };
  assert.equal(b.placeWithin("flat", within), true);
  assert.deepEqual([b.type("g").within, b.type("flat").within], [within, undefined]);
  assert.equal(b.placeWithin("g", within), false);
  assert.equal(b.placeWithin("x", within), false);
});

test("Builder.wantOutput lets a node make an optional output, once", () => {
  const b = started();
  b.add("MaxPool", [b.op("Reshape", ["x", b.vector([1, 1, 2, 3])])], {
    kernel_shape: { type: "ints", value: [1, 1] },
  });
  assert.equal(b.wantOutput("MaxPool", 0), "MaxPool:0");
  const indices = b.wantOutput("MaxPool", 1);
  assert.deepEqual([indices, b.wantOutput("MaxPool", 1), b.type(indices).dtype], ["MaxPool:1", "MaxPool:1", "int64"]);
  assert.deepEqual(b.node("MaxPool").outputs, ["MaxPool:0", "MaxPool:1"]);
  assert.equal(b.producer(indices)?.name, "MaxPool");
  assert.throws(() => b.wantOutput("MaxPool", 2), /^Error: MaxPool has no output 2 \(node MaxPool\)$/);
});

test("new Builder(graph) goes on where the graph ends, or from its tensors alone", () => {
  const graph = parseGraph("graph g(float32[2] x) => (y) { y = Relu(x) }");
  const on = new Builder(graph);
  assert.deepEqual([on.nodes.length, on.producer("y")?.name], [1, "y"]);
  const again = new Builder(graph, false);
  assert.deepEqual([again.nodes.length, again.type("y").dtype, again.fresh("y")], [0, "float32", "y_2"]);
});

test("a second tensor of one name is an error, whoever makes it", () => {
  const message = (name: string): RegExp => new RegExp(`^Error: duplicate tensor: ${name}( \\(node \\S+\\))?$`);
  const b = started();
  b.op("Relu", ["x"], {}, { outputs: ["y"] });
  const one = b.constant("float32", [], 1);
  for (const name of ["x", "y", one]) {
    assert.throws(() => b.op("Relu", ["x"], {}, { outputs: [name] }), message(name));
    assert.throws(() => b.declare({ name, dtype: "float32", shape: [2, 3], category: "input" }), message(name));
  }
  const { nodes } = b;
  assert.throws(() => b.append({ ...(nodes[0] as (typeof nodes)[0]), name: "again" }), message("y"));
  const z = b.op("Relu", ["y"]);
  assert.throws(() => b.rename(z, "y"), message("y"));
  const parts = { count: 2, outputs: ["part", "part"] };
  assert.throws(() => b.add("Split", ["x", b.vector([1, 1])], {}, parts), message("part"));
});

test("Builder.reserve(nodes) keeps their names for them", () => {
  const b = started();
  b.reserve([
    { name: "layer/Relu", outputs: ["Relu:0", ""] },
    { name: "const.float32.-1", outputs: ["layer/Relu:0"] },
  ]);
  assert.equal(b.op("Relu", ["x"]), "Relu:0_2");
  assert.equal(b.scalar(-1, "x"), "const.float32.-1_2");
  b.scope = "layer";
  assert.equal(b.op("Relu", ["x"]), "layer/Relu_2:0");
  assert.deepEqual(b.add("Relu", ["x"], {}, { name: "layer/Relu", outputs: ["Relu:0"] }), ["Relu:0"]);
  assert.deepEqual(
    b.nodes.map(({ name }) => name),
    ["Relu", "layer/Relu_2", "layer/Relu"],
  );
});
