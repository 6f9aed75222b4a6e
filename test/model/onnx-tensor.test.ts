import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import type { DType } from "../../src/graph/graph.js";
import { bytesOf, valuesOf } from "../../src/graph/values.js";
import type { ProtoTensor } from "../../src/model/onnx-proto.js";
import { readTensor, writeTensor } from "../../src/model/onnx-tensor.js";

const root = mkdtempSync(path.join(tmpdir(), "mutwo-onnx-tensor-"));
const folder = path.join(root, "model");
mkdirSync(folder);
writeFileSync(path.join(folder, "w.bin"), bytesOf("float32", [9, 1, 2, 9]));
writeFileSync(path.join(root, "secret.bin"), bytesOf("float32", [3, 4]));
symlinkSync(path.join(root, "secret.bin"), path.join(folder, "link.bin"));

after(() => rmSync(root, { recursive: true }));

const from = { file: "m.onnx", folder };

const read = (tensor: ProtoTensor) => readTensor(tensor, "w", from);

test("readTensor(tensor) reads the field that its element type is kept in, and raw data before any", () => {
  const cases: readonly [dtype: DType, tensor: ProtoTensor, values: number[]][] = [
    ["float32", { dataType: 1, floatData: [1.5, -2] }, [1.5, -2]],
    ["float32", { dataType: 1, floatData: [7, 7], rawData: bytesOf("float32", [1.5, -2]) }, [1.5, -2]],
    ["float16", { dataType: 10, int32Data: [0x3c00, 0xc000] }, [1, -2]],
    ["bfloat16", { dataType: 16, int32Data: [0x3f80, 0xc000] }, [1, -2]],
    ["int8", { dataType: 3, int32Data: [-128, 127] }, [-128, 127]],
    ["bool", { dataType: 9, int32Data: [0, 1] }, [0, 1]],
    ["uint32", { dataType: 12, uint64Data: [0, 2 ** 32 - 1] }, [0, 2 ** 32 - 1]],
    ["int64", { dataType: 7, int64Data: ["-1", 2n] }, [-1, 2]],
  ];
  for (const [dtype, tensor, values] of cases) {
    const found = read({ ...tensor, dims: [2] });
    assert.deepEqual([found.dtype, found.shape, valuesOf(dtype, found.data)], [dtype, [2], values]);
  }
});

test("readTensor(tensor) refuses data that does not fill the shape, and shapes that nothing fills", () => {
  const message = (tensor: ProtoTensor): string => {
    try {
      return String(read({ dataType: 1, ...tensor }).shape);
    } catch (error) {
      return (error as Error).message;
    }
  };
  assert.equal(message({ dims: [3], floatData: [1, 2] }), "tensor w claims [3] float32, 12 bytes, but has 8: m.onnx");
  assert.equal(message({ dims: [-1] }), "negative dimension: [-1] (w)");
  assert.equal(message({ dims: [2 ** 31, 2 ** 31] }), "tensor too large: w [2147483648,2147483648]");
  assert.equal(message({ dims: [1], dataType: 8 }), "unsupported element type: string (w)");
});

const external = (location: string, offset: number, folderOf: string | null = folder) =>
  readTensor(writeTensor("w", { dtype: "float32", shape: [2], data: new Uint8Array(8) }, { location, offset }), "w", {
    file: "m.onnx",
    folder: folderOf,
  });

test("readTensor(writeTensor(tensor, place)) reads a file of the model's folder at the tensor's offset", () => {
  assert.deepEqual(valuesOf("float32", external("w.bin", 4).data), [1, 2]);
  const inline = writeTensor("w", { dtype: "int64", shape: [1, 2], data: bytesOf("int64", [5, -6]) });
  assert.deepEqual(read(inline), { dtype: "int64", shape: [1, 2], data: bytesOf("int64", [5, -6]) });
});

test("readTensor(external) does not leave the model's folder, and says what its file lacks", () => {
  assert.throws(() => external("../secret.bin", 0), {
    message: "external data outside the model's folder: ../secret.bin (w)",
  });
  assert.throws(() => external("link.bin", 0), { message: "external data outside the model's folder: link.bin (w)" });
  assert.throws(() => external("w.bin", 12), {
    message: "truncated external data: w.bin has 16 bytes, w needs 20",
  });
  assert.throws(() => external("none.bin", 0), {
    message: "missing external data: none.bin (w; it belongs into the folder of the model file)",
  });
  assert.throws(() => external("w.bin", 0, null), { message: "external data without a place: w (m.onnx)" });
});
