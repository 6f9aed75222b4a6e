import { after } from "node:test";
import { openCpu } from "../../src/runtime/cpu.js";
import { conv, testsOfBlocks } from "../host-forms.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

// 32 channels in and 48 out, 16 × 17 positions or more
testsOfBlocks(
  cpu,
  [
    ["a convolution", conv("Conv", "1,32,16,17", "48,32,3,3", "pads=[1,1,1,1]")],
    [
      "a bias, strides and spread windows",
      conv("Conv", "2,32,34,33", "48,32,3,3", "strides=[2,2], dilations=[2,1], pads=[2,1,2,0]", "48"),
    ],
    ["fewer channels than a block", conv("Conv", "1,3,33,34", "16,3,7,7", "strides=[2,2], pads=[3,3,3,3]")],
    ["a convolution of each channel", conv("Conv", "1,32,16,17", "32,1,3,3", "pads=[1,1,1,1], group=32")],
  ],
  [
    ["channels that fill no block", conv("Conv", "1,36,16,17", "48,36,3,3", "pads=[1,1,1,1]")],
    ["results that fill no block", conv("Conv", "1,32,16,17", "36,32,3,3", "pads=[1,1,1,1]")],
    ["groups", conv("Conv", "1,32,16,17", "32,16,3,3", "pads=[1,1,1,1], group=2")],
    ["few positions", conv("Conv", "1,32,8,8", "48,32,3,3", "pads=[1,1,1,1]")],
    ["few products", conv("Conv", "1,16,16,17", "16,16,3,3", "pads=[1,1,1,1]")],
    ["few products of few channels", conv("Conv", "1,3,16,17", "16,3,3,3", "pads=[1,1,1,1]")],
    ["kernels of one element", conv("Conv", "1,32,16,17", "48,32,1,1", "")],
    ["one axis", conv("Conv", "1,32,300", "48,32,3", "pads=[1,1]")],
  ],
);
