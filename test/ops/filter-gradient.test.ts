import assert from "node:assert/strict";
import { after, test } from "node:test";
import { openCpu } from "../../src/runtime/cpu.js";
import { hostForm } from "../host-forms.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

/** The gradient of filters [3,16,kernel…], given X [n,16,size…] and a window. */
const gradient = (x: string, dY: string, window: string, c = 16): string =>
  `graph g(float32[${x.replace("c", `${c}`)}] x, float32[${dY}] dy) => (dw) { dw = mutwo.ConvFilterGradient<${window}>(x, dy) }`;

for (const [what, x, dY, window] of [
  ["one axis", "2,c,7", "2,3,7", "kernel_shape=[3], strides=[1], dilations=[1], pads=[1,1]"],
  ["two axes", "2,c,4,5", "2,3,4,5", "kernel_shape=[3,3], strides=[1,1], dilations=[1,1], pads=[1,1,1,1]"],
  ["one image", "1,c,5,4", "1,3,5,4", "kernel_shape=[3,3], strides=[1,1], dilations=[1,1], pads=[1,1,1,1]"],
  [
    "three axes",
    "2,c,3,4,3",
    "2,3,3,4,3",
    "kernel_shape=[3,1,3], strides=[1,1,1], dilations=[1,1,1], pads=[1,0,1,1,0,1]",
  ],
  ["strides", "2,c,8,6", "2,3,4,3", "kernel_shape=[3,3], strides=[2,2], dilations=[1,1], pads=[1,1,1,1]"],
  ["other strides", "2,c,6,9", "2,3,3,3", "kernel_shape=[4,5], strides=[2,3], dilations=[1,1], pads=[2,1,0,2]"],
  ["spread windows", "2,c,6,7", "2,3,6,7", "kernel_shape=[3,3], strides=[1,1], dilations=[2,2], pads=[2,2,2,2]"],
  ["uneven pads", "2,c,5,5", "2,3,6,5", "kernel_shape=[2,4], strides=[1,1], dilations=[1,1], pads=[2,3,0,0]"],
  [
    "rows that windows do not fill",
    "2,c,7,5",
    "2,3,5,5",
    "kernel_shape=[3,3], strides=[1,1], dilations=[1,1], pads=[0,1,0,1]",
  ],
  [
    "windows wider than the image",
    "2,c,2,2",
    "2,3,2,2",
    "kernel_shape=[7,7], strides=[1,1], dilations=[1,1], pads=[3,3,3,3]",
  ],
  [
    "pads that the stride leaves over",
    "2,c,4,4",
    "2,3,3,2",
    "kernel_shape=[1,3], strides=[2,2], dilations=[1,1], pads=[0,0,2,1]",
  ],
] as const)
  test(`gradientByRows(call) is the gradient of filters: ${what}`, async () => {
    const { ops, apart } = await hostForm(gradient(x, dY, window), cpu);
    assert.ok(ops.includes("Rows") && !ops.includes("Slice"), ops.join());
    assert.ok(apart < 1e-5, `${apart} apart`);
  });

for (const [what, text] of [
  [
    "other columns",
    gradient("2,c,6,6", "2,3,4,4", "kernel_shape=[3,3], strides=[1,1], dilations=[1,1], pads=[0,0,0,0]"),
  ],
  [
    "columns that no stride divides",
    gradient("2,c,6,5", "2,3,3,3", "kernel_shape=[3,3], strides=[2,2], dilations=[1,1], pads=[1,1,1,1]"),
  ],
  [
    "groups",
    gradient("2,c,4,4", "2,4,4,4", "kernel_shape=[3,3], strides=[1,1], dilations=[1,1], pads=[1,1,1,1], group=2"),
  ],
  [
    "kernels of one element",
    gradient("2,c,4,4", "2,3,4,4", "kernel_shape=[1,1], strides=[1,1], dilations=[1,1], pads=[0,0,0,0]"),
  ],
  [
    "few channels",
    gradient("2,c,4,4", "2,3,4,4", "kernel_shape=[3,3], strides=[1,1], dilations=[1,1], pads=[1,1,1,1]", 3),
  ],
] as const)
  test(`gradientByRows(call) leaves alone: ${what}`, async () => {
    const { ops, apart } = await hostForm(text, cpu);
    assert.ok(!ops.includes("Rows"));
    assert.ok(apart < 1e-5);
  });
