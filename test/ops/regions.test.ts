import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type Attributes, int, text } from "../../src/graph/graph.js";
import { bindModel } from "../../src/model/bind.js";
import { parseOnnx } from "../../src/model/onnx.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { backward } from "../../src/step/gradient.js";
import { buildSample } from "../sampled.js";
import { file, graph, held, node } from "../written.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const whole = file(
  graph(
    ["x: float32[batch,3]"],
    [
      node("h = MatMul(x, w)"),
      node("boxes = Reshape(h, wide)"),
      node("scores = Reshape(h, long)"),
      node("selected = NonMaxSuppression(boxes, scores, k)", {}, "nms"),
      node("picked = Gather(selected, one)", { axis: 1 }),
    ],
    ["h: float32[batch,4]", "picked: int64[n]"],
    [
      held("w", "float32", [3, 4], new Array<number>(12).fill(0.1)),
      held("wide", "int64", [3], [1, -1, 4]),
      held("long", "int64", [3], [1, 4, -1]),
      held("k", "int64", [1], [3]),
      held("one", "int64", [1], [1]),
    ],
  ),
);

test("NonMaxSuppression behind the wanted output is left out; on its path it is refused, with what to do", () => {
  const model = parseOnnx(whole, { file: "m.onnx", folder: null });
  const options = { dims: { batch: 2 }, evaluate: cpu.evaluate.bind(cpu) };
  assert.deepEqual(
    bindModel(model, { ...options, output: "h" }).graph.nodes.map(({ op }) => op),
    ["MatMul"],
  );
  assert.throws(
    () => bindModel(model, { ...options, output: "picked" }),
    /^Error: unsupported: output shape that depends on values: NonMaxSuppression \(node nms\); name an output/,
  );
});

const inputs = [
  { shape: [1, 2, 4, 4] },
  { shape: [1, 4], values: [0, 0, 3, 3] },
  { dtype: "int64", shape: [1], values: [0] },
] as const;

const built = (attributes: Attributes) => {
  const { b, node: one } = buildSample({ op: "RoiAlign", inputs, attributes }, "float32");
  b.add(one.op, one.inputs, one.attributes, { name: one.name, outputs: one.outputs });
  b.phase = "backward";
  const { dtype, shape } = b.type("y0");
  b.declare({ name: "dy", dtype, shape, category: "input" });
  return b;
};

test("RoiAlign refuses the gradient where nobody knows how many samples there are, and modes that there are not", () => {
  const b = built({});
  assert.throws(
    () => backward(b, [...b.nodes], new Map([["y0", "dy"]]), new Set(["x0"])),
    /no gradient: RoiAlign sampling_ratio=0 of regions that are computed \(node node\); give it sampling_ratio=2/,
  );
  assert.throws(() => built({ mode: text("min") }), /unsupported: RoiAlign mode=min/);
  assert.throws(
    () => built({ coordinate_transformation_mode: text("middle") }),
    /unsupported: RoiAlign coordinate_transformation_mode=middle/,
  );
  assert.throws(() => built({ output_height: int(0) }), /RoiAlign's output \[0,1\]/);
  assert.throws(() => built({ sampling_ratio: int(2 ** 30) }), /RoiAlign takes \d+ samples, the most is 16777216/);
  assert.throws(() => built({ output_height: int(2 ** 30) }), /RoiAlign takes \d+ samples/);
});

test("RoiAlign's regions have no gradient, as in torchvision", () => {
  const b = built({ sampling_ratio: int(2) });
  const gradients = backward(b, [...b.nodes], new Map([["y0", "dy"]]), new Set(["x0", "x1"]));
  assert.deepEqual([gradients.has("x0"), gradients.has("x1")], [true, false]);
});
