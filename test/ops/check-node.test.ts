import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../../src/build/build.js";
import type { DType } from "../../src/graph/graph.js";
import { ops } from "../../src/ops/index.js";
import { byOp, saidOf } from "../sampled.js";

const sampled = (op: string) => byOp.get(op) ?? [];

for (const [op, record] of ops)
  if (!op.startsWith("mutwo:"))
    test(`${op} takes the element types beside each other that its record says`, async () => {
      const isRefused = (said: string): boolean => /Type Error: Type (parameter|')/.test(said);
      const hasNoKernel = (said: string): boolean => said.includes("Could not find an implementation");
      for (const sample of sampled(op).slice(0, 3)) {
        const floats = sample.inputs.flatMap((input, i) =>
          input && !input.constant && input.same === undefined && (input.dtype ?? "float32") === "float32" ? [i] : [],
        );
        const later = floats.filter((i) => i > 0);
        if (floats[0] !== 0 || later.length === 0) continue;
        const opsets = [...(sample.opsets ?? []), 18, 23];
        const plain = await Promise.all(opsets.map((opset) => saidOf(sample, opset)));
        const opset = opsets[plain.indexOf("")];
        if (opset === undefined) continue;
        const each = await Promise.all(later.map((i) => saidOf(sample, opset, [i])));
        if (record.inputTypes !== "any")
          assert.ok(
            each.every((said) => isRefused(said) || hasNoKernel(said)),
            `${op} takes another type beside input 0: ${each}`,
          );
        else {
          // further inputs may have to agree among themselves; before opset 17 kernels are ONNX Runtime's own
          const all = await Promise.all([opset, 13].map((version) => saidOf(sample, version, later)));
          assert.ok(![...each, ...all].every(isRefused), `${op} takes one type only: ${each}`);
        }
      }
    });

test("checkTypes(call, record) names both types and the node", () => {
  const b = new Builder();
  const declare = (name: string, dtype: DType): string => b.declare({ name, dtype, shape: [2], category: "input" });
  const [half, single, whole, long] = [
    declare("half", "float16"),
    declare("single", "float32"),
    declare("whole", "int32"),
    declare("long", "int64"),
  ];
  assert.throws(() => b.op("Add", [half, single]), /^Error: type mismatch: float16 and float32 \(node /);
  assert.throws(() => b.op("BitwiseAnd", [whole, long]), /type mismatch: int32 and int64/);
  assert.throws(() => b.op("PRelu", [half, single]), /type mismatch: float16 and float32/);
  assert.equal(b.type(b.op("Pow", [half, whole])).dtype, "float16");
  assert.equal(b.type(b.op("CastLike", [whole, half])).dtype, "float16");
});
