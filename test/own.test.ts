import assert from "node:assert/strict";
import { test } from "node:test";
import { boundShape } from "../src/model/dimensions.js";
import { own } from "../src/own.js";
import { sizes } from "../src/run/option-kinds.js";
import { numericSettings, parseNamed } from "../src/step/settings.js";

const inherited = ["toString", "constructor", "hasOwnProperty", "__proto__"];

test("own(record, name) knows no name that all objects have, and those that a record has itself", () => {
  for (const name of inherited) {
    assert.equal(own({}, name), undefined);
    assert.equal(own({ [name]: 5 }, name), 5);
  }
});

test("dimensions and settings of such names are names like all others", () => {
  for (const name of inherited) {
    const dims = sizes().parse(`${name}=3`, undefined);
    assert.deepEqual(sizes().words(dims), [`${name}=3`]);
    assert.throws(() => sizes().parse(`${name}=4`, dims), /contradicting dimension/);
    const input = { name: "x", dims: [name, 2], dtype: "float32" } as unknown as Parameters<typeof boundShape>[0];
    assert.deepEqual(boundShape(input, dims), [3, 2]);
    assert.throws(() => boundShape(input, {}), /unbound dimension/);
    assert.throws(() => numericSettings(parseNamed(`adam:${name}=1`), { lr: 1 }), /unknown setting of adam/);
  }
});
