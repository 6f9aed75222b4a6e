import assert from "node:assert/strict";
import { test } from "node:test";
import { Builder } from "../src/build/build.js";
import { expand } from "../src/build/expand.js";
import { type Attribute, elementCount, int, ints, type Node, type Tensor } from "../src/graph/graph.js";
import { bytesOf, valuesOf } from "../src/graph/values.js";
import { opOf } from "../src/ops/index.js";
import { problemOf } from "./message.js";
import { buildSample, byOp } from "./sampled.js";

/** Samples that are changed of each op: its first ones. */
const each = 3;

/** What is wrong with how a node is refused; nothing if it is refused well or taken. */
function problemWith(node: Node, tensors: ReadonlyMap<string, Tensor>, opset: number): string {
  try {
    const b = new Builder();
    for (const tensor of tensors.values()) b.declare(tensor);
    const types = b.infer(node, opset);
    node.outputs.forEach((name, i) => {
      const type = types[i];
      if (name && type) b.declare({ ...type, name, category: "activation" });
    });
    const { body, normalize } = opOf(node);
    for (const rule of [normalize, body]) if (rule) expand(b, node, rule, opset);
    return "";
  } catch (error) {
    const { message } = error as Error;
    const problem = problemOf(error) || (/\b(NaN|Infinity)\b/.test(message) ? "a number that is none" : "");
    return problem && `${problem}: ${message}`;
  }
}

const otherShapes = (shape: readonly number[]): (readonly number[])[] => [
  ...[shape.slice(1), shape.slice(0, -1), [1, ...shape], [...shape, 2], [], [2, 2]],
  ...shape.map((size, axis) => shape.with(axis, size + 1)),
];

/** A tensor of another shape; a constant keeps the values that it has room for. */
function reshaped(tensor: Tensor, shape: readonly number[]): Tensor {
  if (!tensor.data) return { ...tensor, shape };
  const known = valuesOf(tensor.dtype, tensor.data);
  const values = Array.from({ length: elementCount(shape) }, (_, i) => known[i] ?? 1);
  return { ...tensor, shape, data: bytesOf(tensor.dtype, values) };
}

const otherValues = (attribute: Attribute): (Attribute | undefined)[] => {
  if (attribute.type === "int") return [undefined, ...[0, -1, 5, 2 ** 31, 2 ** 53 - 1].map(int)];
  if (attribute.type === "ints") return [undefined, ...[[], [0], [-1, 3, 3], attribute.value.slice(1)].map(ints)];
  return [undefined];
};

// ops of mutwo's own stand in no file
for (const [op, all] of byOp)
  if (!op.startsWith("mutwo:"))
    test(`${op} with an input of another shape or another attribute is taken, or refused in our own words`, () => {
      const problems: string[] = [];
      for (const sample of all.slice(0, each)) {
        const opset = sample.opsets?.[0] ?? 18;
        const { b, node } = buildSample(sample, "float32");
        const tensors = new Map([...b.tensors].filter(([name]) => !node.outputs.includes(name)));
        const look = (what: string, changed: Node, given: ReadonlyMap<string, Tensor>): void => {
          const problem = problemWith(changed, given, opset);
          if (problem) problems.push(`${what}: ${problem}`);
        };
        for (const tensor of tensors.values())
          for (const shape of otherShapes(tensor.shape))
            look(
              `${tensor.name} [${tensor.shape}] as [${shape}]`,
              node,
              new Map(tensors).set(tensor.name, reshaped(tensor, shape)),
            );
        for (const [name, attribute] of Object.entries(node.attributes))
          for (const other of otherValues(attribute)) {
            const { [name]: _, ...rest } = node.attributes;
            look(
              `${name} = ${other?.value}`,
              { ...node, attributes: other ? { ...rest, [name]: other } : rest },
              tensors,
            );
          }
      }
      assert.deepEqual(problems, []);
    });
