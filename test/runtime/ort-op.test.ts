import assert from "node:assert/strict";
import { after, test } from "node:test";
import { float, int, type Node } from "../../src/graph/graph.js";
import { type OpRequest, requestOf } from "../../src/runtime/kernel-key.js";
import { openKernels } from "../../src/runtime/ort.js";

const kernels = openKernels({ threads: 1 });

after(() => kernels.close());

const request = (op: string, dtype: "float32" | "bool", more: Partial<OpRequest> = {}): OpRequest => ({
  node: "n",
  op,
  domain: "",
  types: new Map([["T", dtype]]),
  attributes: {},
  inputCount: 1,
  outputCount: 1,
  since: undefined,
  ...more,
});

test("createOp(request) finds a kernel at whatever version the provider has one, with attributes of each kind", () => {
  for (const one of [
    request("Relu", "float32"),
    request("LeakyRelu", "float32", { attributes: { alpha: float(0.5) } }),
    // its newest kernel is of opset 20
    request("Gelu", "float32", { since: 20, attributes: { approximate: { type: "string", value: "tanh" } } }),
    request("Transpose", "float32", { attributes: { perm: { type: "ints", value: [1, 0] } } }),
    request("Softmax", "float32", { attributes: { axis: int(-1) } }),
  ]) {
    const op = kernels.createOp(one);
    assert.ok(op !== 0n, one.op);
    kernels.releaseOp(op);
  }
});

test("createOp(request) throws 'no kernel' with ONNX Runtime's reason, for the node that asks", () => {
  for (const op of ["Relu", "Frobnicate"])
    assert.throws(() => kernels.createOp(request(op, "bool")), {
      message: new RegExp(`^no kernel: ${op} T=bool: [^\\n]+ \\(node n\\)$`),
      kind: "no kernel",
      node: "n",
    });
});

test("createOp(request) refuses a tensor attribute, which no kernel takes", () => {
  const tensor = { type: "tensor", value: { dtype: "float32", shape: [], data: new Uint8Array(4) } } as const;
  assert.throws(() => kernels.createOp(request("Relu", "float32", { attributes: { value: tensor } })), {
    message: "a kernel cannot take a tensor attribute: value (node n)",
    kind: undefined,
  });
});

test("createOp(requestOf(node)) asks by the op's own type constraints", () => {
  const tensors = new Map(
    [
      ["x", "float32"],
      ["y", "int64"],
    ].map(([name, dtype]) => [name, { name, dtype, shape: [2], category: "activation" }]),
  ) as Parameters<typeof requestOf>[1]["tensors"];
  const cast: Node = {
    name: "c",
    domain: "",
    op: "Cast",
    inputs: ["x"],
    outputs: ["y"],
    attributes: { to: int(7) },
    phase: "forward",
  };
  const asked = requestOf(cast, { tensors });
  assert.deepEqual(
    [...asked.types],
    [
      ["T1", "float32"],
      ["T2", "int64"],
    ],
  );
  kernels.releaseOp(kernels.createOp(asked));
});
