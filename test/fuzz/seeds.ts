import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { int, type Tensor } from "../../src/graph/graph.js";
import { bytesOf } from "../../src/graph/values.js";
import { symbolsOf } from "../../src/model/dimensions.js";
import type { Model, ModelNode } from "../../src/model/model.js";
import { encodeOnnx, openOnnx } from "../../src/model/onnx.js";
import { callOf } from "../../src/ops/call.js";
import { opOf } from "../../src/ops/index.js";
import { at } from "../at.js";
import { buildSample, samples } from "../sampled.js";
import type { Sample } from "../samples/sample.js";

/** A valid model that mutants are made of, and what binds its dimensions. */
export interface Seed {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly dims: Readonly<Record<string, number>>;
}

/** Fixtures of more bytes, or with more elements in an input, take most of a second each. */
const [largest, mostElements] = [130_000, 20_000];

/** Size of each symbolic dimension. */
const size = 2;

const isSmall = ({ inputs }: Model): boolean =>
  inputs.every(
    ({ dims }) => dims.reduce((n: number, dim) => n * (typeof dim === "number" ? dim : size), 1) < mostElements,
  );

/** Models of test/fixtures/ that are small. */
const fixtureSeeds = (): Seed[] =>
  readdirSync(at("fixtures"))
    .filter((file) => file.endsWith(".onnx"))
    .map((file) => ({ name: path.basename(file, ".onnx"), file: at("fixtures", file) }))
    .map(({ name, file }) => ({ name, file, bytes: readFileSync(file) }))
    .filter(({ bytes }) => bytes.length <= largest)
    .map(({ name, file, bytes }) => ({ name, bytes, model: openOnnx(file) }))
    .filter(({ model }) => isSmall(model))
    .map(({ name, bytes, model }) => ({
      name,
      bytes,
      dims: Object.fromEntries([...symbolsOf(model).keys()].map((symbol) => [symbol, size])),
    }));

/** A sample as a model file: its first float input is scaled by a parameter, its constants are initializers. */
function modelOf(sample: Sample): Model {
  const opset = sample.opsets?.[0] ?? 18;
  const { b, node, values } = buildSample(sample, "float32");
  const outputTypes = opOf(node).infer(callOf(node, b.tensors, opset));
  const declared = [...b.tensors.values()];
  const scaled = declared.find(({ category, dtype }) => category === "input" && dtype === "float32");
  const initializers = new Map<string, Tensor & { data: Uint8Array }>();
  for (const tensor of declared) {
    const differentiated = sample.differentiate?.some((i) => node.inputs[i] === tensor.name);
    const data = tensor.data ?? (differentiated && bytesOf(tensor.dtype, values.get(tensor.name) ?? []));
    if (data && tensor !== scaled) initializers.set(tensor.name, { ...tensor, data });
  }
  const nodes: ModelNode[] = [
    { ...node, inputs: node.inputs.map((name) => (scaled && name === scaled.name ? "scaled" : name)) },
  ];
  if (scaled) {
    const scale = { name: "scale", dtype: scaled.dtype, shape: [1], category: "parameter" } as const;
    initializers.set("scale", { ...scale, data: bytesOf(scaled.dtype, [1]) });
    nodes.unshift({
      name: "scaling",
      domain: "",
      op: "Mul",
      inputs: [scaled.name, "scale"],
      outputs: ["scaled"],
      attributes: {},
    });
  }
  return {
    irVersion: 8,
    opset,
    opsets: { "": opset, "com.microsoft": 1, mutwo: 1 },
    producer: "",
    graphName: "sample",
    inputs: declared
      .filter(({ name, category }) => category === "input" && !initializers.has(name))
      .map(({ name, dtype, shape }) => ({ name, dtype, dims: shape })),
    outputs: node.outputs.flatMap((name, i) => {
      const type = outputTypes[i];
      return name && type ? [{ name, dtype: type.dtype, dims: type.shape }] : [];
    }),
    initializers,
    nodes,
    valueInfo: [],
    metadata: {},
    graphMetadata: {},
  };
}

/** A chain of three nodes whose middle one may be cut: what a sample alone does not have. */
const chain = (): Model => {
  const value = (shape: readonly number[]) => ({
    dtype: "float32" as const,
    shape,
    data: bytesOf("float32", new Array(shape.reduce((a, n) => a * n, 1)).fill(0.5)),
  });
  const node = (name: string, op: string, inputs: string[], attributes = {}): ModelNode => ({
    name,
    domain: "",
    op,
    inputs,
    outputs: [`${name}_out`],
    attributes,
  });
  return {
    irVersion: 8,
    opset: 17,
    opsets: { "": 17 },
    producer: "pytorch 2.1",
    graphName: "chain",
    inputs: [{ name: "x", dtype: "float32", dims: ["batch", 3, 8, 8] }],
    outputs: [{ name: "head_out", dtype: "float32", dims: ["batch", 5] }],
    initializers: new Map([
      ["conv.weight", value([4, 3, 3, 3])],
      ["conv.bias", value([4])],
      ["head.weight", value([5, 4 * 4 * 4])],
      ["head.bias", value([5])],
    ]),
    nodes: [
      node("conv", "Conv", ["x", "conv.weight", "conv.bias"], {
        pads: { type: "ints", value: [1, 1, 1, 1] },
        strides: { type: "ints", value: [2, 2] },
      }),
      node("relu", "Relu", ["conv_out"]),
      node("flatten", "Flatten", ["relu_out"], { axis: int(1) }),
      node("head", "Gemm", ["flatten_out", "head.weight", "head.bias"], { transB: int(1) }),
    ],
    valueInfo: [],
    metadata: {},
    graphMetadata: {},
  };
};

/** What mutants are made of: the small fixtures, each several times, and a model of each op sample. */
export function seeds(): Seed[] {
  // ops of mutwo's own stand in no file
  const inFiles = samples.filter(({ op }) => !op.startsWith("mutwo:"));
  const own = inFiles.map((sample, i) => ({
    name: `${sample.op} ${i}`,
    bytes: encodeOnnx(modelOf(sample)),
    dims: {},
  }));
  const few = [{ name: "chain", bytes: encodeOnnx(chain()), dims: { batch: 2 } }, ...fixtureSeeds()];
  return [...own, ...Array.from({ length: 10 }, () => few).flat()];
}
