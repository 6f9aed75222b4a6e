import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import protobuf from "protobufjs";
import { randomFrom } from "../src/initial.js";
import { openOnnx, parseOnnx } from "../src/onnx.js";
import { onnxProto } from "../src/onnx-proto.js";

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
  [
    "external data by an absolute path",
    external("/etc/passwd"),
    /external data outside the model's folder: \/etc\/passwd/,
  ],
  ["external data in a parent folder", external("../w.bin"), /external data outside the model's folder: \.\.\/w\.bin/],
  ["external data through a link", external("link.bin"), /external data outside the model's folder: link\.bin/],
  ["missing external data", external("none.bin"), /missing external data: none\.bin \(w\)/],
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
  ["an input that nothing makes", { node: [{ ...relu, input: ["q"] }] }, /input that nothing makes: q/],
  ["an input without type", { input: [{ name: "x" }] }, /unsupported: no type of x/],
  ["a negative dimension", { input: [value("x", -3)] }, /negative dimension: -3/],
  [
    "a subgraph",
    { node: [{ ...relu, attribute: [{ name: "then_branch", type: 5, g: {} }] }] },
    /unsupported: subgraph attribute then_branch/,
  ],
];
writeFileSync(path.join(folder, "short.bin"), new Uint8Array(4));
symlinkSync("/etc/hostname", path.join(folder, "link.bin"));

for (const [what, graph, message] of wrong)
  test(`parseOnnx(bytes) refuses ${what} in one line`, () => {
    assert.throws(
      () => parse(graph),
      (error: Error) => message.test(error.message) && !error.message.includes("\n"),
    );
  });

test("openOnnx(file) refuses what is not an ONNX file, and a truncated one", () => {
  const file = path.join(folder, "bad.onnx");
  assert.throws(() => openOnnx(path.join(folder, "none.onnx")), /cannot read model: .* \(ENOENT\)/);
  writeFileSync(file, "this is text, not a model");
  assert.throws(() => openOnnx(file), /not an ONNX file: /);
  const whole = readFileSync("test/fixtures/mlp.dynamo.onnx");
  writeFileSync(file, whole.subarray(0, whole.length / 2));
  assert.throws(() => openOnnx(file), /truncated file: /);
});

test("parseOnnx(bytes) answers every mutation with a model or one line, never a crash", () => {
  const random = randomFrom(1);
  for (const name of ["resnet_bottleneck.ts.onnx", "resnet18.onnx"]) {
    const whole = readFileSync(`test/fixtures/${name}`);
    for (let i = 0; i < 300; i++) {
      const bytes = Uint8Array.from(whole);
      // the graph's structure is in the first bytes of each node: flip densely, anywhere
      for (let k = 0; k < 3; k++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      const cut = random() < 0.3 ? bytes.subarray(0, Math.floor(random() * bytes.length)) : bytes;
      try {
        parseOnnx(cut, { file: name, folder: null });
      } catch (error) {
        assert.ok(error instanceof Error && error.message.length > 0);
        assert.doesNotMatch(error.message, /\n|undefined is not|Cannot read prop/);
      }
    }
  }
});
