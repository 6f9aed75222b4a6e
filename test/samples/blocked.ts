import { type Attributes, int, ints } from "../../src/graph/graph.js";
import { type Sample, tensor } from "./sample.js";

const inBlocksOf = (block: number, more: Attributes = {}): Attributes => ({ block: int(block), ...more });

const window = (size: number, stride: number, pad: number): Attributes => ({
  kernel_shape: ints([size, size]),
  strides: ints([stride, stride]),
  pads: ints([pad, pad, pad, pad]),
  dilations: ints([1, 1]),
});

export const blocked: readonly Sample[] = [8, 16].flatMap((block): Sample[] => [
  { op: "mutwo:IntoBlocks", inputs: [tensor([1, 3 * block, 3, 5])], attributes: inBlocksOf(block) },
  {
    op: "mutwo:OutOfBlocks",
    inputs: [tensor([1, 3 * block, 3, 5])],
    attributes: inBlocksOf(block, { channels: int(3 * block) }),
  },
  {
    op: "mutwo:BlockedConv",
    inputs: [tensor([2, block, 6, 5]), tensor([2 * block, block, 3, 3]), tensor([2 * block])],
    attributes: inBlocksOf(block, window(3, 1, 1)),
  },
  {
    op: "mutwo:BlockedConv",
    inputs: [tensor([1, 3, 9, 8]), tensor([block, 3, 4, 4])],
    attributes: inBlocksOf(block, window(4, 2, 1)),
  },
  {
    op: "mutwo:BlockedConv",
    inputs: [tensor([2, 2 * block, 6, 6]), tensor([2 * block, 1, 3, 3])],
    attributes: inBlocksOf(block, { ...window(3, 1, 0), group: int(2 * block) }),
  },
]);
