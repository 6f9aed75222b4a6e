import assert from "node:assert/strict";
import { test } from "node:test";
import { commonPath, modulePath, namesOf, oneLine, shortClass, sourceOf, sourceText } from "../../src/graph/origins.js";

test("modulePath(names) joins names without empty ones, cuts long ones and cleans what they hold", () => {
  assert.equal(modulePath(["", "m", "layer2.0", "conv1"]), "m.layer2.0.conv1");
  assert.equal(modulePath(["a..b", "."]), "a.b");
  assert.equal(modulePath(["a\nb", "<img src=x>"]), "a\uFFFDb.<img src=x>");
  assert.equal(modulePath(["x".repeat(10_000)]).length, 100);
  assert.equal(modulePath(["a.".repeat(10_000)]).length, 63);
  assert.equal(modulePath([]), "");
});

test("oneLine(text, most) is one line of at most so many characters", () => {
  assert.equal(oneLine("a\r\nb", 10), "a\uFFFD\uFFFDb");
  assert.equal(oneLine("abcdef", 4), "abc…");
});

test("sourceOf(path, line, code) keeps of a path what tells, and no more than 160 characters", () => {
  const installed = sourceOf("/opt/venv/lib/python3.12/site-packages/transformers/models/bert/modeling_bert.py", 84);
  assert.equal(sourceText(installed), "transformers/models/bert/modeling_bert.py:84");
  assert.deepEqual(sourceOf("C:\\work\\net\\models\\unet.py", 7, "  return x + y\n"), {
    file: "net/models/unet.py",
    line: 7,
    code: "return x + y",
  });
  const long = sourceOf("y".repeat(10_000), 1, "z".repeat(10_000));
  assert.deepEqual([long.file.length, long.code?.length], [160, 160]);
});

test("commonPath(a, z) is the module that both are in", () => {
  assert.equal(commonPath("m.h.0.attn", "m.h.0.mlp"), "m.h.0");
  assert.equal(commonPath("m.h", "m.h.1"), "m.h");
  assert.equal(commonPath("a", "z"), "");
  assert.equal(commonPath("m.h.1", "m.h.10"), "m.h");
});

test("namesOf and shortClass take a path and a class apart", () => {
  assert.deepEqual([namesOf(""), namesOf("a.b")], [[], ["a", "b"]]);
  assert.equal(shortClass("torch.nn.modules.conv.Conv2d"), "Conv2d");
});
