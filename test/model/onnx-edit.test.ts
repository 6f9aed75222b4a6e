import assert from "node:assert/strict";
import { test } from "node:test";
import { type Edit, edited, lengthField, numberField } from "../../src/model/onnx-edit.js";
import { readWire } from "../../src/model/onnx-wire.js";
import { nestedModel as bytes } from "./nested-model.js";

test("edited(bytes, edits) writes the lengths around an edit of another size anew, also those that take more bytes then", () => {
  assert.deepEqual(Buffer.concat(edited(bytes, [])), Buffer.from(bytes));
  const { tensors } = readWire(bytes);
  const inner = tensors.find(({ name }) => name === "inner");
  assert.ok(inner);
  for (const size of [0, 1, 100, 200, 20_000]) {
    const message = Buffer.concat([
      lengthField(8, Buffer.from("inner")),
      numberField(1, size),
      lengthField(9, Buffer.alloc(size, 5)),
    ]);
    const edit: Edit = { ...inner.message, bytes: message, frames: inner.frames };
    const made = Buffer.concat(edited(bytes, [edit]));
    const found = readWire(made).tensors.map(({ name, data }) => [
      name,
      data.reduce((sum, { begin, end }) => sum + end - begin, 0),
    ]);
    assert.deepEqual(found, [
      ["c", 12],
      ["inner", size],
      ["w", 8],
    ]);
  }
  const edit: Edit = { begin: 3, end: 5, bytes: Buffer.alloc(2), frames: [] };
  assert.throws(() => edited(bytes, [edit, { ...edit, begin: 4, end: 6 }]), /edits overlap at 4/);
});
