import assert from "node:assert/strict";
import { test } from "node:test";
import { otherFormat } from "../../src/model/other-format.js";

test("otherFormat(bytes) says what a file is that is no ONNX, and how its model becomes one", () => {
  const said = (start: string): string => otherFormat(Buffer.from(start, "latin1"));
  assert.match(said("PK\x03\x04"), /^ \(a zip archive: of PyTorch\? torch\.onnx\.export\(.*of Keras\? model\.export\(/);
  assert.match(said("\x89HDF\r\n"), /^ \(HDF5, of Keras\?/);
  assert.match(said("\x80\x02ccollections"), /^ \(a pickle, of PyTorch\?/);
  assert.match(said("GGUF"), /^ \(weights without a graph; export the model: /);
  assert.match(said("\x1c\0\0\0TFL3"), /^ \(TensorFlow Lite: /);
  assert.equal(said("\x08\x08"), "");
});
