import assert from "node:assert/strict";
import { test } from "node:test";
import { doctorSummary, examine } from "../../src/commands/examination.js";

test("examine() looks at every part; what must work on any machine does, and a reason is one line", async () => {
  const before = process.env.CHROMIUM_PATH;
  process.env.CHROMIUM_PATH = "/nowhere/chromium";
  const findings = await examine().finally(() => {
    if (before === undefined) delete process.env.CHROMIUM_PATH;
    else process.env.CHROMIUM_PATH = before;
  });
  const names = findings.map(({ what }) => what);
  assert.equal(new Set(names).size, names.length);
  const found = new Map(findings.map((row) => [row.what, row]));
  for (const name of ["node", "cpu backend", "danfo", "tslab kernel", "zeromq"])
    assert.equal(found.get(name)?.works, true, found.get(name)?.detail);
  assert.match(found.get("cpu backend")?.detail ?? "", /^ONNX Runtime 1\.\d+\.\d+, \d+ threads, /);
  assert.equal(found.get("browser (PDF, PNG)")?.works, false);
  for (const { detail } of findings) assert.match(detail, /^[^\n]+$/);
});

test("doctorSummary(findings, columns) wraps long details inside that many columns", () => {
  const detail = "a place that is much longer than what is left of a line of a terminal, ".repeat(4).trim();
  const findings = [
    { what: "node", works: true, detail: "v20" },
    { what: "GPU", works: false, detail },
  ];
  const lines = doctorSummary(findings, 100).split("\n");
  assert.ok(lines.every((line) => line.length <= 100));
  const cells = lines.map((line) => line.split("│").map((cell) => cell.trim()));
  assert.ok(cells.some(([, what, works, text]) => what === "node" && works === "yes" && text === "v20"));
  assert.ok(cells.some(([, what, works]) => what === "GPU" && works === "no"));
  const words = cells.flatMap(([, , , text]) => (text ? text.split(" ") : []));
  assert.equal(words.filter((word) => word === "terminal,").length, 4);
});

test("doctorSummary(findings, columns) breaks a word that is longer than its column, and cuts none", () => {
  const word = "HeadlessChrome/147.0.7727.0-of-a-long-name/and/a/folder";
  for (const columns of [40, 60, 80]) {
    const lines = doctorSummary([{ what: "browser", works: true, detail: `${word}, with more` }], columns).split("\n");
    const details = lines.slice(3, -1).map((line) => line.split("│")[3]?.trim() ?? "");
    assert.equal(details.join("").replaceAll(" ", ""), `${word},withmore`);
  }
});

test("doctorSummary(findings) is one screen: a line a part that works, and below what mends what does not", () => {
  const findings = [
    ...Array.from({ length: 12 }, (_, i) => ({ what: `part ${i}`, works: true, detail: "1.0" })),
    { what: "cuDNN", works: false, detail: "libcudnn.so.9 not found", mend: "pip install nvidia-cudnn-cu13" },
  ];
  const lines = doctorSummary(findings, 80).split("\n");
  assert.ok(lines.length <= 20, `${lines.length} lines`);
  assert.deepEqual(lines.slice(-2), ["to mend:", "  cuDNN: pip install nvidia-cudnn-cu13"]);
  assert.doesNotMatch(doctorSummary(findings.slice(0, 12), 80), /to mend/);
});
