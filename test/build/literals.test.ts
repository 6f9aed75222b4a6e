import assert from "node:assert/strict";
import { test } from "node:test";
import { readAttribute, readCategory, readData, readPlace, readType } from "../../src/build/literals.js";
import { Reader } from "../../src/build/reader.js";
import { valuesOf } from "../../src/graph/values.js";

test("readAttribute(reader) takes the type from how the value is written", () => {
  const cases: readonly [string, string, unknown][] = [
    ["1", "int", 1],
    ["1.0", "float", 1],
    ["-inf", "float", Number.NEGATIVE_INFINITY],
    ['"a"', "string", "a"],
    ["[1,2]", "ints", [1, 2]],
    ["[1,2.5]", "floats", [1, 2.5]],
    ["[]", "ints", []],
    ["floats[]", "floats", []],
    ["strings[]", "strings", []],
    ['["a","b"]', "strings", ["a", "b"]],
  ];
  for (const [text, type, value] of cases) assert.deepEqual(readAttribute(new Reader(text)), { type, value }, text);
  assert.throws(() => readAttribute(new Reader("float32[2]{...}")), /^Error: expected data, found float32 \(line 1\)$/);
});

test("readData(reader, type) repeats one number, leaves out what was left out, keeps all digits of int64", () => {
  const data = (text: string) => {
    const reader = new Reader(text);
    return readData(reader, readType(reader));
  };
  assert.deepEqual(valuesOf("float32", data("float32[3]{0.5}") as Uint8Array), [0.5, 0.5, 0.5]);
  assert.equal(data("float32[3]{...}"), undefined);
  assert.equal(new BigInt64Array(data("int64[1]{9007199254740993}")?.buffer as ArrayBuffer)[0], 9007199254740993n);
  assert.throws(() => data("int64[1]{1.5}"), /^Error: not an integer: 1.5 \(line 1\)$/);
  assert.throws(() => data("float32[3]{1,2}"), /^Error: shape mismatch: 2 values for float32\[3\] \(line 1\)$/);
});

test("readCategory(reader) and readPlace(reader) read what stands around a tensor's name, if it stands there", () => {
  const category = (text: string) => readCategory(new Reader(text));
  assert.equal(category("optimizer state float32[1] m"), "optimizer state");
  assert.equal(category("gradient float32[1] g"), "gradient");
  assert.equal(category("gradient = Exp(x)"), undefined);
  assert.equal(category("gradient within g+0"), undefined);
  const place = (text: string) => readPlace(new Reader(text));
  assert.deepEqual(place("= Exp(x)"), {});
  assert.deepEqual(place("within flat+64 on host range [0,10]"), {
    within: { tensor: "flat", offsetBytes: 64 },
    host: true,
    range: [0, 10],
  });
  assert.throws(() => place("range [1]"), /^Error: expected two numbers/);
});
