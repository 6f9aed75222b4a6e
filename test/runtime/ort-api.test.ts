import assert from "node:assert/strict";
import { test } from "node:test";
import koffi from "koffi";
import {
  type Api,
  check,
  cString,
  library,
  made,
  ortVersion,
  plainWords,
  pointerArray,
} from "../../src/runtime/ort-api.js";

/** An API whose statuses are texts. */
function fakeApi() {
  const released: unknown[] = [];
  const api = {
    getErrorMessage: (status: unknown) => status,
    releaseStatus: (status: unknown) => released.push(status),
  };
  return { api: api as unknown as Api, released };
}

test("check(api, status) throws a status's first line and frees it; null is success", () => {
  const { api, released } = fakeApi();
  check(api, null);
  assert.throws(() => check(api, "it broke\nin detail"), { message: "it broke" });
  assert.deepEqual(released, ["it broke\nin detail"]);
});

test("plainWords(message) is what ONNX Runtime says without the place in its sources", () => {
  const thrown =
    "/onnxruntime_src/onnxruntime/core/providers/common.h:31 int64_t onnxruntime::HandleNegativeAxis(int64_t, int64_t) IsAxisInRange(axis, tensor_rank) was false. axis 7 is not in valid range [-2,1]";
  assert.equal(plainWords(thrown), "axis 7 is not in valid range [-2,1]");
  const mere =
    "/onnxruntime_src/include/onnxruntime/core/framework/tensor.h:210 T* onnxruntime::Tensor::MutableData() [with T = float] utils::IsPrimitiveDataType<T>(dtype_) was false. onnxruntime::Tensor type mismatch";
  assert.equal(plainWords(mere), "ONNX Runtime refuses it");
  // types by the names that C++ compilers give them
  for (const type of ["N11onnxruntime9BFloat16E", "f"])
    assert.equal(plainWords(`Tensor type mismatch. T !=${type}`), "ONNX Runtime refuses it");
  assert.equal(plainWords("std::bad_alloc"), "ONNX Runtime lacks memory for it");
  assert.equal(plainWords("indices element out of data bounds\nat"), "indices element out of data bounds");
});

test("made(api, make) is what a call gives out, and throws its status", () => {
  const { api } = fakeApi();
  const give = (out: unknown[]): null => {
    out[0] = 7n;
    return null;
  };
  assert.equal(made(api, give), 7n);
  assert.throws(() => made(api, () => "no"), { message: "no" });
});

test("cString(text) ends in 0 and is one for equal texts", () => {
  const pointer = cString("Größe");
  assert.equal(koffi.decode(pointer, "char", -1), "Größe");
  assert.equal(cString("Größe"), pointer);
  assert.notEqual(cString("other"), pointer);
});

test("pointerArray(values) has memory of its own, which the collector does not move", () => {
  const array = pointerArray([1n, 2n ** 63n]);
  assert.deepEqual([...array], [1n, 2n ** 63n]);
  assert.equal(array.buffer.byteLength, 16);
});

test("library() is loaded once, of the version that onnxruntime-node brings", () => {
  assert.equal(library(), library());
  assert.equal(ortVersion(), (require("onnxruntime-node/package.json") as { version: string }).version);
});
