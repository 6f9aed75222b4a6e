import assert from "node:assert/strict";
import { test } from "node:test";
import { NativeLibrary, numberFrom, pointerFrom, textIn } from "../../src/runtime/native-library.js";

test("NativeLibrary(file) binds functions one by one and by a table", () => {
  const library = new NativeLibrary("libm.so.6");
  assert.equal(library.function<(x: number) => number>("double sqrt(double x)")(9), 3);
  const { frexp, abs } = library.functions({ frexp: "double (double x, _Out_ int *exponent)", abs: "int (int x)" });
  assert.equal(
    numberFrom((out) => void frexp(8, out)),
    4,
  );
  assert.equal(abs(-2), 2);
  assert.throws(() => new NativeLibrary("libnothing.so"), /cannot open shared object file/);
});

test("pointerFrom(call) is what the call writes, numbers and bigints alike", () => {
  for (const written of [4096, 4096n])
    assert.equal(
      pointerFrom((out) => {
        out[0] = written;
      }),
      4096n,
    );
});

test("textIn(bytes) ends at the first zero", () => {
  assert.equal(textIn(Buffer.from("H100\0\0rest")), "H100");
  assert.equal(textIn(new Uint8Array(8)), "");
});
