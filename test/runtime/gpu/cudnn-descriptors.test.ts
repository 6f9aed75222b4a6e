import assert from "node:assert/strict";
import { test } from "node:test";
import { Descriptors } from "../../../src/runtime/gpu/cudnn-descriptors.js";
import { fakeCudnn } from "./fake-cudnn.js";

const opened = () => {
  const fake = fakeCudnn({ failsAt: 2 });
  return { ...fake, descriptors: new Descriptors(fake.cudnn) };
};

test("an attribute's number, type and elements are those of cudnn_graph.h", () => {
  const { descriptors, held, lines } = opened();
  const made = descriptors.finished("tensor", { tensorType: [9], tensorDimensions: [2, 3, 4], tensorId: [1] });
  const of = (name: number) => [...(held.get(made)?.attributes.get(name)?.bytes ?? [])];
  assert.equal(held.get(made)?.kind, 17);
  assert.deepEqual(lines, ["17: 901 type 1 × 1", "17: 902 type 3 × 3", "17: 906 type 3 × 1"]);
  assert.deepEqual(of(901), [9, 0, 0, 0]);
  assert.deepEqual(
    of(902).filter((_, i) => i % 8 === 0),
    [2, 3, 4],
  );
  assert.equal(of(902).length, 24);
});

test("descriptors are destroyed together, those of a call that failed too; what was given away is not", () => {
  const { cudnn, descriptors, held } = opened();
  const others = new Descriptors(cudnn);
  const given = descriptors.finished("tensor", {});
  assert.throws(() => descriptors.finished("convolution", {}), /^Error: cuDNN: CUDNN_STATUS_NOT_SUPPORTED/);
  assert.equal(held.size, 2);
  descriptors.give(given, others);
  descriptors.destroy();
  assert.deepEqual([...held.keys()], [given]);
  others.destroy();
  assert.equal(held.size, 0);
});
