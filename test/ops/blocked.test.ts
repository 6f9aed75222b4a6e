import assert from "node:assert/strict";
import { after, test } from "node:test";
import { openCpu } from "../../src/runtime/cpu.js";
import { hostForm } from "../host-forms.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const conv = (op: string, x: string, w: string, attributes: string, bias = ""): string =>
  `graph g(float32[${x}] x, float32[${w}] w${bias && `, float32[${bias}] b`}) => (y) { y = ${op}<${attributes}>(x, w${bias && ", b"}) }`;

/** With 32 channels in and 48 out, 16 × 17 positions or more. */
const inBlocks: readonly (readonly [what: string, text: string])[] = [
  ["a convolution", conv("Conv", "1,32,16,17", "48,32,3,3", "pads=[1,1,1,1]")],
  [
    "a bias, strides and spread windows",
    conv("Conv", "2,32,34,33", "48,32,3,3", "strides=[2,2], dilations=[2,1], pads=[2,1,2,0]", "48"),
  ],
  ["fewer channels than a block", conv("Conv", "1,3,33,34", "16,3,7,7", "strides=[2,2], pads=[3,3,3,3]")],
  ["a convolution of each channel", conv("Conv", "1,32,16,17", "32,1,3,3", "pads=[1,1,1,1], group=32")],
  ["a transposed convolution", conv("ConvTranspose", "1,48,16,17", "48,32,3,3", "pads=[1,1,1,1]")],
  [
    "a transposed one with a bias, spread windows and uneven pads",
    conv("ConvTranspose", "2,48,15,14", "48,32,3,3", "dilations=[2,1], pads=[0,1,1,0]", "32"),
  ],
  [
    "a transposed one with strides",
    conv("ConvTranspose", "1,48,16,17", "48,32,3,3", "strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]"),
  ],
  [
    "a transposed one with strides and a bias",
    conv("ConvTranspose", "2,48,15,14", "48,32,4,5", "strides=[2,3], pads=[1,1,1,1]", "32"),
  ],
  [
    "a transposed one that fills windows side by side",
    conv("ConvTranspose", "1,64,16,17", "64,64,2,2", "strides=[2,2]"),
  ],
  [
    "a transposed one of each channel with strides",
    conv("ConvTranspose", "1,32,16,17", "32,1,3,3", "strides=[1,2], pads=[1,1,1,1], output_padding=[0,1], group=32"),
  ],
  ["a transposed one of each channel", conv("ConvTranspose", "1,32,16,17", "32,1,3,3", "pads=[1,1,1,1], group=32")],
];

for (const [what, text] of inBlocks)
  test(`in blocks of 8 and 16 channels: ${what}`, async () => {
    for (const block of [8, 16]) {
      const { ops, apart } = await hostForm(text, cpu, block);
      assert.ok(ops.includes("BlockedConv"), ops.join());
      assert.ok(apart < 1e-5, `${apart} apart, blocks of ${block}`);
    }
    assert.ok(!(await hostForm(text, cpu, 1)).ops.includes("BlockedConv"));
  });

for (const [what, text] of [
  ["channels that fill no block", conv("Conv", "1,36,16,17", "48,36,3,3", "pads=[1,1,1,1]")],
  ["results that fill no block", conv("Conv", "1,32,16,17", "36,32,3,3", "pads=[1,1,1,1]")],
  ["groups", conv("Conv", "1,32,16,17", "32,16,3,3", "pads=[1,1,1,1], group=2")],
  ["few positions", conv("Conv", "1,32,8,8", "48,32,3,3", "pads=[1,1,1,1]")],
  ["few products", conv("Conv", "1,16,16,17", "16,16,3,3", "pads=[1,1,1,1]")],
  ["kernels of one element", conv("Conv", "1,32,16,17", "48,32,1,1", "")],
  ["one axis", conv("Conv", "1,32,300", "48,32,3", "pads=[1,1]")],
  ["a transposed one with pads beyond the kernel", conv("ConvTranspose", "1,48,20,20", "48,32,2,2", "pads=[2,2,2,2]")],
  [
    "a transposed one whose rows are no multiple of the stride",
    conv("ConvTranspose", "1,48,16,17", "48,32,3,3", "strides=[2,2], pads=[1,1,1,1]"),
  ],
  [
    "a transposed one whose stride is longer than the kernel",
    conv("ConvTranspose", "1,96,16,17", "96,48,2,2", "strides=[1,3], output_padding=[0,1]"),
  ],
  ["a transposed one of groups", conv("ConvTranspose", "1,48,16,17", "48,16,3,3", "pads=[1,1,1,1], group=2")],
] as const)
  test(`not in blocks: ${what}`, async () => {
    const { ops, apart } = await hostForm(text, cpu, 16);
    assert.ok(!ops.includes("BlockedConv"));
    assert.ok(apart < 1e-5);
  });
