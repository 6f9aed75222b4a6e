import assert from "node:assert/strict";
import { test } from "node:test";
import { opOf, ops } from "../../src/ops/index.js";
import { unsupported } from "../../src/ops/unsupported.js";

test("opOf(node) says why an op is not in the table", () => {
  const message = (op: string, domain = ""): string => {
    try {
      opOf({ op, domain, name: "n" });
      return "";
    } catch (error) {
      return (error as Error).message;
    }
  };
  assert.deepEqual(
    ["Loop", "SequenceInsert", "OptionalHasElement", "StringConcat", "Unique", "Frobnicate"].map(
      (op) => message(op).split("; ")[0],
    ),
    [
      "unsupported: control flow Loop (node n)",
      "unsupported: sequence op SequenceInsert (node n)",
      "unsupported: optional op OptionalHasElement (node n)",
      "unsupported: string op StringConcat (node n)",
      "unsupported: output shape that depends on values: Unique (node n)",
      "unknown op: Frobnicate (node n)",
    ],
  );
  const quantised = ["QLinearConv", "MatMulInteger", "DequantizeLinear", "DynamicQuantizeLinear"];
  for (const op of quantised)
    assert.equal(
      message(op),
      `unsupported: quantised op ${op} (node n); mutwo trains float models: export the model before it is quantised`,
    );
  assert.match(message("Loop"), /; export what runs for one input: /);
  assert.match(message("Frobnicate"), /; export it as standard ONNX ops, of opset 7 to 24$/);
  assert.match(message("MoE", "com.microsoft"), /^unknown op: com.microsoft:MoE .*; take the file as it was before /);
  assert.match(
    message("Conv", "com.microsoft.nchwc"),
    /^unsupported: memory layout of one processor: com.microsoft.nchwc:Conv .* graphOptimizationLevel extended, not all$/,
  );
  assert.match(message("BeamSearch", "com.microsoft"), /^unsupported: op of text generation com.microsoft:BeamSearch /);
  assert.match(message("PackedAttention", "com.microsoft"), /^unsupported: sequences packed without their padding: /);
  assert.match(message("QLinearAdd", "com.microsoft"), /^unsupported: quantised op com.microsoft:QLinearAdd /);
});

test("unsupported(node) has a reason for no op of the table", () => {
  const reasons = [...ops.keys()].filter((key) => {
    const [domain, op] = key.includes(":") ? (key.split(":") as [string, string]) : ["", key];
    return !unsupported({ domain, op, name: "n" }).message.startsWith("unknown op: ");
  });
  assert.deepEqual(reasons, []);
});
