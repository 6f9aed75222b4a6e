import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { type Attributes, int, type TensorType } from "../../src/graph/graph.js";
import { bytesOf } from "../../src/graph/values.js";

const thrown = (op: string, attributes: Attributes, ...shapes: readonly (readonly number[] | number)[]): string => {
  const b = new Builder();
  const names = shapes.map((shape, i) => {
    const type: TensorType = {
      dtype: typeof shape === "number" ? "int64" : "float32",
      shape: typeof shape === "number" ? [] : shape,
    };
    const data = typeof shape === "number" ? { data: bytesOf("int64", [shape]) } : {};
    return b.declare({ name: `x${i}`, ...type, category: "data" in data ? "constant" : "input", ...data });
  });
  try {
    b.op(op, names, attributes);
  } catch (error) {
    return (error as Error).message;
  }
  return "";
};

test("DFT and STFT say what is wrong with their inputs", () => {
  const onesided = { onesided: int(1) };
  assert.match(thrown("DFT", { axis: int(2) }, [2, 5, 1]), /shape mismatch: DFT along axis 2 of \[2,5,1\]/);
  assert.match(thrown("DFT", {}, [2, 5, 3]), /shape mismatch: .* real \(1\) or complex \(2\)/);
  assert.match(thrown("DFT", onesided, [2, 5, 2]), /onesided DFT of complex numbers/);
  assert.match(thrown("DFT", {}, [2, 5, 1], 0), /dft_length of DFT is 0/);
  assert.match(thrown("STFT", {}, [2, 16, 1], 4), /STFT lacks both window and frame_length/);
  assert.match(thrown("STFT", {}, [2, 16, 1], 0, [8]), /frame_step of STFT is 0/);
  assert.match(
    thrown("STFT", {}, [2, 16, 1], 4, [17]),
    /frames of 17 elements with a window \[17\] of a signal \[2,16,1\]/,
  );
  assert.match(thrown("STFT", {}, [2, 16, 1], 4, [8], 7), /frames of 7 elements with a window \[8\]/);
});
