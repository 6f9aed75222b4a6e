import assert from "node:assert/strict";
import { test } from "node:test";
import { readNpyHeader } from "../../src/data/npy.js";
import { npyBytes } from "../data-files.js";

test("readNpyHeader reads type, byte order, order of the indices and shape", () => {
  const { dtype, shape, isBigEndian, isFortran, bytes, offset } = readNpyHeader(
    npyBytes(">f8", [3, 5], Buffer.alloc(0), "True"),
  );
  assert.deepEqual(
    { dtype, shape, isBigEndian, isFortran, bytes },
    { dtype: "float64", shape: [3, 5], isBigEndian: true, isFortran: true, bytes: 120 },
  );
  assert.equal(offset, 128);
  assert.deepEqual(readNpyHeader(npyBytes("|b1", [7], Buffer.alloc(0))).shape, [7]);
  assert.deepEqual(readNpyHeader(npyBytes("<i4", [], Buffer.alloc(0))).shape, []);
});

test("readNpyHeader reads versions 2 and 3, whose headers' lengths have 32 bits", () => {
  const first = npyBytes("<i2", [4, 2], Buffer.alloc(0));
  for (const version of [2, 3]) {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(first.readUInt16LE(8));
    const start = Buffer.from(`\x93NUMPY${String.fromCharCode(version)}\x00`, "latin1");
    const { dtype, shape, offset } = readNpyHeader(Buffer.concat([start, length, first.subarray(10)]));
    assert.deepEqual({ dtype, shape, offset }, { dtype: "int16", shape: [4, 2], offset: 130 });
  }
});

test("readNpyHeader says what is wrong with a header", () => {
  const header = npyBytes("<f4", [2], Buffer.alloc(0));
  const changed = (from: string, to: string): Buffer =>
    Buffer.from(header.toString("latin1").replace(from, to), "latin1");
  for (const [bytes, message] of [
    [Buffer.from("PK"), /truncated: no .npy header/],
    [Buffer.from("PK\x03\x04 and more of it"), /not an .npy file/],
    [header.subarray(0, 60), /truncated: the .npy header ends early/],
    [changed("NUMPY\x01", "NUMPY\x07"), /version 7, which is not known/],
    [changed("'<f4'", "'<q9'"), /unknown type "<q9"/],
    [changed("'<f4'", "'|O' "), /Python objects, which are not read/],
    [changed("'<f4'", "'<U9'"), /texts: save class numbers/],
    [changed("(2,)", "(-2)"), /no type and shape in the .npy header/],
    [changed("(2,)", "(9007199254740991,)"), /a shape beyond all files/],
    [changed("False", "Maybe"), /no type and shape/],
  ] as const)
    assert.throws(() => readNpyHeader(bytes), message);
});
