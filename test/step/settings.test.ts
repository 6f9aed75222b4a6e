import assert from "node:assert/strict";
import { test } from "node:test";
import { numericSettings, parseNamed, takeSetting } from "../../src/step/settings.js";

test("parseNamed(text) splits the name from its settings", () => {
  assert.deepEqual(parseNamed("adam"), { name: "adam", settings: new Map() });
  assert.deepEqual(parseNamed("adam:lr=1e-3, betas=0.9/0.999"), {
    name: "adam",
    settings: new Map([
      ["lr", "1e-3"],
      ["betas", "0.9/0.999"],
    ]),
  });
  for (const [text, part] of [
    ["adam:lr", "lr"],
    ["adam:", "adam:"],
    ["adam:=1", "=1"],
  ] as const)
    assert.throws(() => parseNamed(text), { message: `not a setting (key=value): ${part}` });
});

test("takeSetting(named, key) takes one setting out and leaves the rest", () => {
  const named = parseNamed("ce:axis=1,output=logits");
  assert.deepEqual(takeSetting(named, "output"), { value: "logits", rest: parseNamed("ce:axis=1") });
  assert.deepEqual(takeSetting(named, "nothing"), { value: undefined, rest: named });
});

test("numericSettings(named, defaults) gives all settings as numbers, true and false among them", () => {
  const defaults = { lr: 0.1, nesterov: 0 };
  const read = (text: string) => numericSettings(parseNamed(text), defaults);
  assert.deepEqual(read("sgd"), defaults);
  assert.deepEqual(read("sgd:nesterov=true"), { lr: 0.1, nesterov: 1 });
  assert.throws(() => read("sgd:rate=1"), /^Error: unknown setting of sgd: rate \(one of lr, nesterov\)$/);
  assert.throws(() => numericSettings(parseNamed("mse:a=1"), {}), /^Error: unknown setting of mse: a \(it has none\)$/);
  for (const text of ["fast", "", "Infinity"])
    assert.throws(() => read(`sgd:lr=${text}`), { message: `setting lr of sgd is not a number: ${text}` });
});
