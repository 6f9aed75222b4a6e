import { after } from "node:test";
import { openCpu } from "../../src/runtime/cpu.js";
import { conv, testsOfBlocks } from "../host-forms.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const transposed = (x: string, w: string, attributes: string, bias = ""): string =>
  conv("ConvTranspose", x, w, attributes, bias);

// 48 channels in and 32 out, 16 × 17 positions or more
testsOfBlocks(
  cpu,
  [
    ["a transposed convolution", transposed("1,48,16,17", "48,32,3,3", "pads=[1,1,1,1]")],
    [
      "a bias, spread windows and uneven pads",
      transposed("2,48,15,14", "48,32,3,3", "dilations=[2,1], pads=[0,1,1,0]", "32"),
    ],
    ["strides", transposed("1,48,16,17", "48,32,3,3", "strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]")],
    ["strides and a bias", transposed("2,48,15,14", "48,32,4,5", "strides=[2,3], pads=[1,1,1,1]", "32")],
    ["windows side by side", transposed("1,64,16,17", "64,64,2,2", "strides=[2,2]")],
    [
      "each channel with a stride",
      transposed("1,32,16,17", "32,1,3,3", "strides=[1,2], pads=[1,1,1,1], output_padding=[0,1], group=32"),
    ],
    ["each channel", transposed("1,32,16,17", "32,1,3,3", "pads=[1,1,1,1], group=32")],
  ],
  [
    ["pads beyond the kernel", transposed("1,48,20,20", "48,32,2,2", "pads=[2,2,2,2]")],
    ["rows that are no multiple of the stride", transposed("1,48,16,17", "48,32,3,3", "strides=[2,2], pads=[1,1,1,1]")],
    ["a stride longer than the kernel", transposed("1,96,16,17", "96,48,2,2", "strides=[1,3], output_padding=[0,1]")],
    [
      "spread windows with strides",
      transposed("1,48,16,17", "48,32,3,3", "strides=[2,2], dilations=[2,2], pads=[2,2,2,2], output_padding=[1,1]"),
    ],
    ["groups", transposed("1,48,16,17", "48,16,3,3", "pads=[1,1,1,1], group=2")],
  ],
);
