import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { type DType, elementCount, onnxNumbers } from "../../src/graph/graph.js";
import { bytesOf, type Value, valuesOf } from "../../src/graph/values.js";
import { attributeTypes } from "../../src/model/onnx-attributes.js";
import { lengthField, numberField } from "../../src/model/onnx-edit.js";
import {
  encodeModel,
  type ProtoGraph,
  type ProtoModel,
  type ProtoTensor,
  type ProtoValue,
} from "../../src/model/onnx-proto.js";
import { readModel, sha256Of } from "../../src/model/read.js";
import { saveWeights, weightPlaces } from "../../src/model/save.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-save-"));

after(() => rmSync(folder, { recursive: true }));

const value = (name: string, shape: readonly number[], dtype: DType = "float32"): ProtoValue => ({
  name,
  type: {
    tensorType: {
      elemType: onnxNumbers[dtype],
      shape: { dim: shape.map((size) => ({ value: "dimValue", dimValue: size })) },
    },
  },
});

const weights = [0.5, -1.25, 2, 0.75, -0.5, 1.5];

const tensor = (fields: ProtoTensor): ProtoTensor => ({ name: "w", dims: [2, 3], dataType: 1, ...fields });

/** A model of one product x·w, its weight given as some fields of the graph say. */
function model(graph: ProtoGraph, more: Partial<ProtoModel> = {}): ProtoModel {
  const node = { input: ["x", "w"], output: ["y"], opType: "MatMul", name: "product" };
  return {
    irVersion: 8,
    producerName: "somebody",
    opsetImport: [{ domain: "", version: 17 }],
    metadataProps: [{ key: "kept", value: "yes" }],
    ...more,
    graph: {
      name: "g",
      input: [value("x", [4, 2])],
      output: [value("y", [4, 3])],
      ...graph,
      node: [...(graph.node ?? []), node],
    },
  };
}

function write(name: string, proto: ProtoModel, extra: readonly Uint8Array[] = []): string {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, Buffer.concat([encodeModel(proto), ...extra]));
  return file;
}

/** Saves a model with `change` applied to every weight; gives the weights that the saved file then has. */
function saved(
  file: string,
  out: string,
  change: (x: number, name: string) => number = (x) => x,
): Map<string, number[]> {
  const bound = readModel(file);
  const { graph } = bound;
  const places = weightPlaces(bound, readFileSync(file).length);
  const values = new Map(
    [...places].map(([name, { dtype, shape }]): [string, Value] => {
      const data = graph.tensors.get(name)?.data ?? bytesOf(dtype, new Array(elementCount(shape)).fill(1));
      const changed = valuesOf(dtype, data).map((x) => change(x, name));
      return [name, { dtype, shape, data: bytesOf(dtype, changed) }];
    }),
  );
  saveWeights(out, { model: file, sha256: sha256Of(file), places, values });
  const again = readModel(out).graph.tensors;
  return new Map([...places].map(([name, { dtype }]) => [name, valuesOf(dtype, again.get(name)?.data as Uint8Array)]));
}

const raw = bytesOf("float32", weights);

const halves = Array.from({ length: 6 }, (_, i) => Buffer.from(bytesOf("float16", weights)).readUInt16LE(2 * i));

const forms: Readonly<Record<string, ProtoModel>> = {
  "raw bytes": model({ initializer: [tensor({ rawData: raw })] }),
  "a list of floats": model({ initializer: [tensor({ floatData: weights })] }),
  "a list of doubles": model({
    input: [value("x", [4, 2], "float64")],
    output: [value("y", [4, 3], "float64")],
    initializer: [tensor({ dataType: 11, doubleData: weights })],
  }),
  "a Constant node": model({
    node: [
      {
        opType: "Constant",
        output: ["w"],
        attribute: [{ name: "value", type: attributeTypes.tensor, t: { ...tensor({ rawData: raw }), name: "" } }],
      },
    ],
  }),
  "a function's Constant node": model(
    { node: [{ opType: "Weights", domain: "own", name: "call", output: ["w"] }] },
    {
      opsetImport: [
        { domain: "", version: 17 },
        { domain: "own", version: 1 },
      ],
      functions: [
        {
          name: "Weights",
          domain: "own",
          output: ["inner"],
          node: [
            {
              opType: "Constant",
              output: ["inner"],
              attribute: [{ name: "value", type: attributeTypes.tensor, t: tensor({ rawData: raw }) }],
            },
          ],
        },
      ],
    },
  ),
};

for (const [what, proto] of Object.entries(forms))
  test(`saveWeights(…) writes a weight where the file has it, and nothing else: ${what}`, () => {
    // fields that nobody knows: at the end of the model
    const file = write("model.onnx", proto, [numberField(900, 7), lengthField(901, Buffer.from("anything"))]);
    const out = path.join(folder, "out.onnx");
    assert.deepEqual([...saved(file, out).values()], [weights]);
    assert.deepEqual(readFileSync(out), readFileSync(file));
    const changed = weights.map((x) => x + 1);
    assert.deepEqual([...saved(file, out, (x) => x + 1).values()], [changed]);
    const [before, now] = [readFileSync(file), readFileSync(out)];
    assert.equal(now.length, before.length);
    const first = before.findIndex((byte, i) => byte !== now[i]);
    const last = before.findLastIndex((byte, i) => byte !== now[i]);
    assert.ok(last - first < 8 * weights.length, `${first} to ${last}`);
  });

test("saveWeights(…) writes floats of 16 bits that stand as numbers of another size as bytes, lengths around them anew", () => {
  const graph = { input: [value("x", [4, 2], "float16")], output: [value("y", [4, 3], "float16")] };
  const file = write("half.onnx", model({ ...graph, initializer: [tensor({ dataType: 10, int32Data: halves })] }));
  const out = path.join(folder, "half-out.onnx");
  assert.deepEqual([...saved(file, out, (x) => x + 1).values()], [weights.map((x) => x + 1)]);
});

test("saveWeights(…) makes an initializer of a weight that is a graph input", () => {
  const file = write("input.onnx", model({ input: [value("x", [4, 2]), value("w", [2, 3])] }));
  const out = path.join(folder, "input-out.onnx");
  assert.deepEqual([...saved(file, out, (x) => x + 2)], [["w", [3, 3, 3, 3, 3, 3]]]);
});

const external = (location: string, offset: number): ProtoTensor =>
  tensor({
    dataLocation: 1,
    externalData: Object.entries({ location, offset, length: 24 }).map(([key, one]) => ({ key, value: String(one) })),
  });

test("saveWeights(…) copies external data beside the new file: under its name in another folder, else under a new one", () => {
  const proto = model({ initializer: [external("weights.bin", 64)] });
  const file = write("external/model.onnx", proto);
  const data = Buffer.alloc(200, 7);
  data.set(raw, 64);
  const source = path.join(folder, "external", "weights.bin");
  writeFileSync(source, data);
  const changed = weights.map((x) => 2 * x);
  mkdirSync(path.join(folder, "elsewhere"));
  const there = path.join(folder, "elsewhere", "out.onnx");
  for (let round = 0; round < 2; round++) {
    assert.deepEqual([...saved(file, there, (x) => 2 * x).values()], [changed]);
    assert.deepEqual(readdirSync(path.dirname(there)).sort(), ["out.onnx", "weights.bin"]);
    assert.deepEqual(readFileSync(there), readFileSync(file));
  }
  const copy = readFileSync(path.join(path.dirname(there), "weights.bin"));
  assert.deepEqual([copy.length, copy[0], copy[199]], [200, 7, 7]);
  const beside = path.join(folder, "external", "a much longer name than the model has.onnx");
  assert.deepEqual([...saved(file, beside, (x) => 2 * x).values()], [changed]);
  assert.ok(readdirSync(path.join(folder, "external")).includes(`${path.basename(beside)}.data`));
  assert.deepEqual(readFileSync(source), data, "the original stays");
  // what lies there is somebody else's
  writeFileSync(path.join(folder, "elsewhere", "weights.bin"), "other");
  assert.deepEqual([...saved(file, there, (x) => 2 * x).values()], [changed]);
  assert.equal(readFileSync(path.join(folder, "elsewhere", "weights.bin"), "utf8"), "other");
});

test("saveWeights(…) writes over neither the model nor what it cannot, and refuses a model that has changed", () => {
  const file = write("changing.onnx", forms["raw bytes"] as ProtoModel);
  assert.throws(() => saved(file, file), /^Error: the model itself is not written over: .* \(name another file\)$/);
  assert.throws(
    () => saved(file, path.join(folder, "none", "out.onnx")),
    /^Error: cannot write .*none\/out\.onnx \(ENOENT\)$/,
  );
  const places = weightPlaces(readModel(file), readFileSync(file).length);
  const request = { model: file, sha256: "0", places, values: new Map<string, Value>() };
  assert.throws(
    () => saveWeights(path.join(folder, "x.onnx"), request),
    /^Error: the model has changed since it was opened: /,
  );
  assert.ok(!readdirSync(folder).includes("x.onnx"));
});

test("saveWeights(…) gives initializers of their own to tensors that the file holds as one, once their values differ", () => {
  const ones = tensor({ name: "ones", dims: [2], rawData: bytesOf("float32", [1, 1]) });
  const zeros = tensor({ name: "zeros", dims: [2], rawData: bytesOf("float32", [0, 0]) });
  const norm = (input: string, output: string, scale: string) => ({
    opType: "BatchNormalization",
    name: output,
    input: [input, scale, "zeros", "zeros", "ones"],
    output: [output],
  });
  const file = write("merged.onnx", {
    irVersion: 8,
    opsetImport: [{ domain: "", version: 17 }],
    graph: {
      name: "g",
      input: [value("x", [4, 2])],
      output: [value("y", [4, 2])],
      initializer: [ones, zeros],
      node: [
        { opType: "Identity", input: ["ones"], output: ["second.weight"] },
        norm("x", "h", "ones"),
        norm("h", "y", "second.weight"),
      ],
    },
  });
  const out = path.join(folder, "merged-out.onnx");
  const same = saved(file, out);
  assert.deepEqual(readFileSync(out), readFileSync(file));
  assert.ok(same.size >= 6, String([...same.keys()]));
  const names = [...same.keys()];
  const changed = saved(file, out, (x, name) => x + 10 * (1 + names.indexOf(name)));
  assert.deepEqual(
    [...changed],
    [...same].map(([name, list], i) => [name, list.map((x) => x + 10 * (1 + i))]),
  );
});
