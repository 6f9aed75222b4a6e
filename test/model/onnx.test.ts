import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import protobuf from "protobufjs";
import { randomFrom } from "../../src/graph/random.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import type { Model } from "../../src/model/model.js";
import { neededPart } from "../../src/model/needed.js";
import { encodeOnnx, openOnnx, parseOnnx } from "../../src/model/onnx.js";
import { onnxProto } from "../../src/model/onnx-proto.js";
import { at } from "../at.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-onnx-"));

const type = protobuf.parse(onnxProto).root.lookupType("onnx.ModelProto");

const value = (name: string, ...dims: (number | string)[]): object => ({
  name,
  type: {
    tensorType: {
      elemType: 1,
      shape: { dim: dims.map((dim) => (typeof dim === "number" ? { dimValue: dim } : { dimParam: dim })) },
    },
  },
});

const relu = { opType: "Relu", input: ["x"], output: ["y"] };

const model = (graph: object): Uint8Array =>
  type
    .encode(
      type.fromObject({
        irVersion: 8,
        opsetImport: [{ domain: "", version: 18 }],
        graph: { name: "g", node: [relu], input: [value("x", 2)], output: [value("y", 2)], ...graph },
      }),
    )
    .finish();

const parse = (graph: object) => parseOnnx(model(graph), { file: "m.onnx", folder });

test("parseOnnx(bytes) reads symbolic dimensions, attributes and nodes out of order in topological order", () => {
  const second = {
    opType: "LeakyRelu",
    name: "b",
    input: ["h"],
    output: ["y"],
    attribute: [{ name: "alpha", type: 1, f: 0.5 }],
  };
  const first = { opType: "Relu", name: "a", input: ["x"], output: ["h"] };
  const read = parse({ node: [second, first], input: [value("x", "batch", 3)], output: [value("y", "batch", 3)] });
  assert.deepEqual(read.inputs[0]?.dims, ["batch", 3]);
  assert.deepEqual(
    read.nodes.map((node) => node.name),
    ["a", "b"],
  );
  assert.deepEqual(read.nodes[1]?.attributes.alpha, { type: "float", value: 0.5 });
});

const weight = (more: object): object => ({ initializer: [{ name: "w", dataType: 1, dims: [2, 2], ...more }] });

const external = (location: string, more: readonly [string, string][] = []): object =>
  weight({ dataLocation: 1, externalData: [["location", location], ...more].map(([key, value]) => ({ key, value })) });

const wrong: readonly (readonly [what: string, graph: object, message: RegExp])[] = [
  [
    "more bytes than there are",
    weight({ rawData: new Uint8Array(8) }),
    /tensor w claims \[2,2\] float32, 16 bytes, but has 8/,
  ],
  ["fewer bytes than the shape says", weight({ rawData: new Uint8Array(20) }), /float32, 16 bytes, but has 20/],
  ["a tensor larger than any file", weight({ dims: [2 ** 31, 2 ** 31] }), /tensor too large: w/],
  [
    "external data by an absolute path",
    external("/etc/passwd"),
    /external data outside the model's folder: \/etc\/passwd/,
  ],
  ["external data in a parent folder", external("../w.bin"), /external data outside the model's folder: \.\.\/w\.bin/],
  ["external data through a link", external("link.bin"), /external data outside the model's folder: link\.bin/],
  ["an external folder", external("."), /external data is not a file: \. \(w\)/],
  ["external data at a bad offset", external("short.bin", [["offset", "-8"]]), /external data says 16 at -8/],
  [
    "missing external data",
    external("none.bin"),
    /missing external data: none\.bin \(w; it belongs into the folder of the model file\)/,
  ],
  ["external data too short", external("short.bin"), /truncated external data: short\.bin has 4 bytes, w needs 16/],
  [
    "a cyclic graph",
    {
      node: [
        { opType: "Add", input: ["x", "z"], output: ["y"] },
        { opType: "Relu", input: ["y"], output: ["z"] },
      ],
    },
    /cyclic graph: /,
  ],
  ["a duplicate tensor", { node: [relu, relu] }, /duplicate tensor: y/],
  ["a duplicate input", { input: [value("x", 2), value("x", 2)] }, /duplicate tensor: x/],
  [
    "a duplicate initializer",
    { initializer: [1, 2].map(() => ({ name: "w", dataType: 1, dims: [0] })) },
    /duplicate tensor: w/,
  ],
  ["an output that nothing makes", { output: [value("q", 2)] }, /output that nothing makes: q/],
  ["a node without op", { node: [{ ...relu, opType: "" }] }, /node without op: _0/],
  ["an unknown element type", weight({ dataType: 8 }), /unsupported element type: string \(w\)/],
  ["a sequence", { input: [{ name: "x", type: { sequenceType: {} } }] }, /unsupported: sequence or optional type of x/],
  ["a sparse initializer", { sparseInitializer: [{ values: { name: "w" } }] }, /unsupported: sparse initializer/],
  ["a name of two lines", { node: [{ ...relu, input: ["a\nb"] }] }, /input that nothing makes: a\\nb/],
  ["an input that nothing makes", { node: [{ ...relu, input: ["q"] }] }, /input that nothing makes: q/],
  ["an input without type", { input: [{ name: "x" }] }, /unsupported: no type of x/],
];

writeFileSync(path.join(folder, "short.bin"), new Uint8Array(4));

symlinkSync("/etc/hostname", path.join(folder, "link.bin"));

/** A model of which everything is needed. */
const allOf = (model: Model): Model =>
  neededPart(
    model,
    [...model.outputs, ...model.inputs].map(({ name }) => name).concat([...(model.unreadable ?? new Map()).keys()]),
  );

for (const [what, graph, message] of wrong)
  test(`a file is refused in one line for ${what}`, () => {
    assert.throws(
      () => allOf(parse(graph)),
      (error: Error) => message.test(error.message) && !error.message.includes("\n"),
    );
  });

test("parseOnnx(bytes) reads data from every field that may hold them", () => {
  const fields: readonly [object, number[], "float32" | "int64" | "uint8" | "float16" | "uint64" | "float64"][] = [
    [{ dataType: 1, floatData: [1.5, -2] }, [1.5, -2], "float32"],
    [{ dataType: 1, rawData: bytesOf("float32", [1.5, -2]) }, [1.5, -2], "float32"],
    [{ dataType: 7, int64Data: [-1, 2] }, [-1, 2], "int64"],
    [{ dataType: 2, int32Data: [0, 255] }, [0, 255], "uint8"],
    [{ dataType: 10, int32Data: [0x3c00, 0xc000] }, [1, -2], "float16"],
    [{ dataType: 13, uint64Data: [1, 2] }, [1, 2], "uint64"],
    [{ dataType: 11, doubleData: [0.1, 0.2] }, [0.1, 0.2], "float64"],
  ];
  for (const [field, values, dtype] of fields) {
    const tensor = parse({ initializer: [{ name: "w", dims: [2], ...field }] }).initializers.get("w");
    assert.equal(tensor?.dtype, dtype);
    assert.deepEqual(valuesOf(dtype, tensor?.data ?? new Uint8Array(0)), values);
  }
});

test("parseOnnx(bytes) reads external data at its offset", () => {
  writeFileSync(path.join(folder, "w.bin"), bytesOf("float32", [9, 1, 2, 3, 4, 9]));
  const { initializers } = parse(
    external("w.bin", [
      ["offset", "4"],
      ["length", "16"],
    ]),
  );
  assert.deepEqual(valuesOf("float32", initializers.get("w")?.data ?? new Uint8Array(0)), [1, 2, 3, 4]);
});

test("parseOnnx(bytes) tells unknown, symbolic and fixed dimensions apart", () => {
  const dim = [{}, { dimParam: "n" }, { dimValue: 0 }, { dimValue: 5 }];
  const read = parse({ input: [{ name: "x", type: { tensorType: { elemType: 1, shape: { dim } } } }] });
  assert.deepEqual(read.inputs[0]?.dims, [null, "n", null, 5]);
});

test("parseOnnx(bytes) gives every node a name of its own and reads floats as they were written", () => {
  const attribute = [{ name: "alpha", type: 1, f: Math.fround(0.01) }];
  const nodes = ["h", "i", "y"].map((output, i) => ({
    opType: "LeakyRelu",
    name: i === 1 ? "" : "n",
    input: [["x", "h", "i"][i]],
    output: [output],
    attribute,
  }));
  const read = parse({ node: nodes });
  assert.deepEqual(
    read.nodes.map((node) => node.name),
    ["n", "LeakyRelu_1", "n_2"],
  );
  assert.deepEqual(read.nodes[0]?.attributes.alpha, { type: "float", value: 0.01 });
});

const withFunctions = (functions: object[], node: object[]): Uint8Array => {
  const whole = type.toObject(type.decode(model({ node })));
  return type.encode(type.fromObject({ ...whole, functions })).finish();
};

test("parseOnnx(bytes) replaces calls of functions by their nodes, attributes and inner calls resolved", () => {
  const inner = {
    name: "Leak",
    domain: "f",
    input: ["a"],
    output: ["b"],
    attribute: ["slope"],
    node: [
      {
        opType: "LeakyRelu",
        input: ["a"],
        output: ["t"],
        attribute: [{ name: "alpha", type: 1, refAttrName: "slope" }],
      },
      { opType: "Neg", input: ["t"], output: ["b"] },
    ],
  };
  const attribute = [{ name: "slope", type: 1, f: 0.5 }];
  const outer = {
    name: "Twice",
    domain: "f",
    input: ["a"],
    output: ["c"],
    node: [
      { opType: "Leak", domain: "f", name: "l", input: ["a"], output: ["t"], attribute },
      { opType: "Add", input: ["t", "a"], output: ["c"] },
    ],
  };
  const bytes = withFunctions(
    [inner, outer],
    [{ opType: "Twice", domain: "f", name: "call", input: ["x"], output: ["y"] }],
  );
  const { nodes } = parseOnnx(bytes, { file: "m.onnx", folder: null });
  assert.deepEqual(
    nodes.map((node) => `${node.name}: ${node.outputs} = ${node.op}(${node.inputs})`),
    [
      "call/l/LeakyRelu_0: call/l/t = LeakyRelu(x)",
      "call/l/Neg_1: call/t = Neg(call/l/t)",
      "call/Add_1: y = Add(call/t,x)",
    ],
  );
  assert.deepEqual(nodes[0]?.attributes, { alpha: { type: "float", value: 0.5 } });
});

test("parseOnnx(bytes) keeps why a call cannot be read of a function that calls itself or grows without bound", () => {
  const call = (name: string): object => ({ opType: name, domain: "f", input: ["a"], output: ["b"] });
  const body = (name: string, node: object[]): object => ({ name, domain: "f", input: ["a"], output: ["b"], node });
  const start = [{ opType: "F0", domain: "f", name: "n", input: ["x"], output: ["y"] }];
  const loop = withFunctions([body("F0", [call("F1")]), body("F1", [call("F0")])], start);
  const why = (bytes: Uint8Array): string | undefined =>
    parseOnnx(bytes, { file: "m", folder: null }).unreadable?.get("y")?.message;
  assert.match(why(loop) ?? "", /^function calls itself: F0/);
  const wide = Array.from({ length: 30 }, (_, i) => body(`F${i}`, Array<object>(4).fill(call(`F${i + 1}`))));
  assert.match(why(withFunctions(wide, start)) ?? "", /^functions make more than/);
});

const sequence = (sizes: object, positions: readonly number[], more: object = {}) =>
  parse({
    initializer: [
      { name: "sizes", dataType: 7, ...sizes },
      ...positions.map((at, i) => ({ name: `at${i}`, dataType: 7, dims: [], int64Data: [at] })),
    ],
    input: [value("x", 2, 6)],
    node: [
      {
        opType: "SplitToSequence",
        name: "s",
        input: ["x", "sizes"],
        output: ["seq"],
        attribute: [{ name: "axis", type: 2, i: 1 }],
      },
      ...positions.map((_, i) => ({
        opType: "SequenceAt",
        name: `p${i}`,
        input: ["seq", `at${i}`],
        output: [`y${i}`],
      })),
    ],
    output: [value("y0")],
    ...more,
  });

test("parseOnnx(bytes) reads a split into a sequence as a plain split", () => {
  const cases: readonly [object, number[], string, number[]][] = [
    [{ dims: [], int64Data: [2] }, [0, 2], "s: y0,seq/1,y1 = Split(x,seq/sizes)", [2, 2, 2]],
    [{ dims: [], int64Data: [4] }, [0, -1], "s: y0,y1 = Split(x,seq/sizes)", [4, 2]],
    [{ dims: [2], int64Data: [1, 5] }, [1], "s: seq/0,y0 = Split(x,seq/sizes)", [1, 5]],
    [{ dims: [], int64Data: [3] }, [1, 1], "s: seq/0,y0 = Split(x,seq/sizes) p1: y1 = Identity(y0)", [3, 3]],
  ];
  for (const [sizes, positions, expected, parts] of cases) {
    const { nodes, initializers } = sequence(sizes, positions);
    const shown = nodes.map((node) => `${node.name}: ${node.outputs} = ${node.op}(${node.inputs})`);
    assert.equal(shown.join(" "), expected);
    assert.deepEqual(valuesOf("int64", initializers.get("seq/sizes")?.data ?? new Uint8Array(0)), parts);
  }
});

test("parseOnnx(bytes) leaves sequences alone that are used in other ways", () => {
  const outside = sequence({ dims: [], int64Data: [2] }, [3]);
  assert.deepEqual(
    outside.nodes.map((node) => node.op),
    ["SplitToSequence", "SequenceAt"],
  );
});

test("parseOnnx(encodeOnnx(model)) is the model", () => {
  for (const name of ["mlp.ts", "mlp.dynamo", "resnet_basic.ts", "resnet_bottleneck_dynamic", "resnet18"]) {
    const read = openOnnx(at("fixtures", `${name}.onnx`));
    assert.ok(read.nodes.length > 0 && read.producer.startsWith("pytorch"));
    assert.deepEqual(parseOnnx(encodeOnnx(read), { file: "again", folder: null }), read);
  }
  const attribute = [
    { name: "i", type: 2, i: -1 },
    { name: "f", type: 1, f: 0.5 },
    { name: "s", type: 3, s: Buffer.from("ä") },
    { name: "is", type: 7, ints: [1, -2] },
    { name: "fs", type: 6, floats: [0.5] },
    { name: "ss", type: 8, strings: [Buffer.from("a")] },
    { name: "t", type: 4, t: { dataType: 7, dims: [1], int64Data: [5] } },
  ];
  const read = parse({ node: [{ ...relu, attribute }], valueInfo: [value("h", 2, "n")] });
  assert.deepEqual(
    Object.values(read.nodes[0]?.attributes ?? {}).map(({ type: kind }) => kind),
    ["int", "float", "string", "ints", "floats", "strings", "tensor"],
  );
  assert.deepEqual(parseOnnx(encodeOnnx(read), { file: "again", folder: null }), read);
});

test("openOnnx(file) refuses what is not an ONNX file, and a truncated one", () => {
  const file = path.join(folder, "bad.onnx");
  assert.throws(() => openOnnx(path.join(folder, "none.onnx")), /cannot read model: .* \(ENOENT\)/);
  writeFileSync(file, "this is text, not a model");
  assert.throws(() => openOnnx(file), /not an ONNX file: /);
  for (const [start, hint] of [
    ["PK\x03\x04", "a zip archive: of PyTorch? torch.onnx.export("],
    ["\x89HDF\r\n", 'HDF5, of Keras? model.export("MODEL.onnx", format="onnx")'],
    ["\x80\x02ccollections", "a pickle, of PyTorch? torch.onnx.export("],
    ["GGUF", "weights without a graph; export the model: "],
  ] as const) {
    writeFileSync(file, Buffer.from(`${start}${"x".repeat(50)}`, "latin1"));
    const says = ({ message }: Error): boolean => message.startsWith(`not an ONNX file: ${file} (${hint}`);
    assert.throws(() => openOnnx(file), says);
  }
  const whole = readFileSync(at("fixtures/mlp.dynamo.onnx"));
  writeFileSync(file, whole.subarray(0, whole.length / 2));
  assert.throws(() => openOnnx(file), /truncated file: /);
});

test("parseOnnx(bytes) answers every mutation with a model or one line, never a crash", () => {
  const random = randomFrom(1);
  const below = (n: number): number => Math.floor(random() * n);
  for (const name of ["mlp.dynamo.onnx", "resnet_bottleneck.ts.onnx", "resnet18.onnx"]) {
    const whole = readFileSync(at("fixtures", name));
    for (let i = 0; i < 200; i++) {
      const bytes = Uint8Array.from(whole);
      // the structure is denser at the start, the weights at the end
      for (let k = 0; k < 3; k++) bytes[below(k ? Math.min(bytes.length, 20_000) : bytes.length)] = below(256);
      const cut = random() < 0.3 ? bytes.subarray(0, below(bytes.length)) : bytes;
      try {
        parseOnnx(cut, { file: name, folder: null });
      } catch (error) {
        assert.ok(error instanceof Error && error.constructor === Error);
        assert.match(error.message, /^[^\n]{1,600}$/);
        assert.doesNotMatch(error.message, /is not a|is not iterable|Cannot read prop/);
      }
    }
  }
});

test("parseOnnx(bytes) keeps the reasons for what it cannot read, and the rest", () => {
  const text = { tensorType: { elemType: 8, shape: { dim: [] } } };
  const sequence = { sequenceType: { elemType: { tensorType: { elemType: 1 } } } };
  const read = parse({
    node: [
      relu,
      { opType: "Words", input: ["t"], output: ["u"] },
      { opType: "ZipMap", input: ["y"], output: ["m"], attribute: [{ name: "a", type: 11 }] },
    ],
    input: [value("x", 2), { name: "t", type: text }],
    output: [value("y", 2), { name: "m", type: sequence }, { name: "u", type: text }],
    initializer: [{ name: "s", dataType: 8, dims: [1] }],
    valueInfo: [
      { name: "v", type: text },
      { name: "y", type: sequence },
    ],
  });
  assert.deepEqual(
    [read.inputs, read.outputs].map((list) => list.map(({ name }) => name)),
    [["x"], ["y"]],
  );
  assert.deepEqual([...(read.unreadable ?? [])].map(([name, { message }]) => `${name}: ${message}`).sort(), [
    "m: unsupported: attribute a (node ZipMap_2)",
    "s: unsupported element type: string (s)",
    "t: unsupported element type: string (t)",
    "u: unsupported element type: string (u)",
  ]);
  assert.equal(neededPart(read, ["y"]).nodes.length, 1);
});

test("parseOnnx(bytes) refuses an input of an unknown type that no node explains", () => {
  const text = { name: "t", type: { tensorType: { elemType: 8 } } };
  assert.throws(() => parse({ input: [value("x", 2), text] }), { message: "unsupported element type: string (t)" });
});

test("parseOnnx(bytes) takes dimensions of 0 and below for unknown ones", () => {
  assert.deepEqual(parse({ input: [value("x", -1, 0, 3)] }).inputs[0]?.dims, [null, null, 3]);
});

test("parseOnnx(bytes) reads the graphs that nodes hold, calls of functions in them resolved", () => {
  const branch = (op: string, domain = "") => ({
    node: [{ opType: op, domain, input: ["x"], output: ["h"] }],
    initializer: [{ name: "k", dataType: 1, dims: [1], rawData: new Uint8Array(4) }],
    output: [value("h")],
  });
  const choose = {
    opType: "If",
    name: "choose",
    input: ["x"],
    output: ["y"],
    attribute: [
      { name: "then_branch", type: 5, g: branch("Half", "f") },
      { name: "else_branch", type: 5, g: branch("Neg") },
    ],
  };
  const half = {
    name: "Half",
    domain: "f",
    input: ["a"],
    output: ["b"],
    node: [{ opType: "Tanh", input: ["a"], output: ["b"] }],
  };
  const [read] = parseOnnx(withFunctions([half], [choose]), { file: "m.onnx", folder: null }).nodes;
  const { then_branch: first, else_branch: second } = read?.subgraphs ?? {};
  assert.deepEqual(
    [first, second].map((graph) => graph?.nodes.map(({ op, inputs, outputs }) => `${outputs} = ${op}(${inputs})`)),
    [["h = Tanh(x)"], ["h = Neg(x)"]],
  );
  assert.deepEqual([[...(first?.initializers.keys() ?? [])], first?.outputs], [["k"], ["h"]]);
});
