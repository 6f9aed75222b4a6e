import type { LayoutGains } from "../../step/layout-regions.js";

/**
 * What nodes gain with channels last, as shares of the time that it takes to write their images in another order. Of
 * ResNet-50, batch 64, on an H100, forward, data and filter gradients alike, of each convolution: kernels for channels
 * first write their operands in the other order before they begin, which those of matrices need not. TF32: windows of 3×3
 * and strides 0.5 to 1.2, windows of one element over 7×7 and 14×14 places 0.3 to 1.0, over 28×28 and more 0.00 to 0.1;
 * 16-bit 1.0 to 2.4, 0.9 to 1.7, −0.05 to 0.2. Statistics of batch norms −0.15 and −0.32. Depthwise ones, all together, ms:
 * bfloat16 0.59, 0.46; TF32 2.51, 2.99. Eight ResNet-18, batch 4, as one, whose convolutions are in eight groups, the whole
 * step: bfloat16 7.16, 6.28; TF32 9.97, 8.25. Plain float32 has no kernels that read channels last.
 */
export function layoutGains(tf32: boolean): LayoutGains {
  const shares = (float32: number, half: number): Record<string, number> => ({
    float16: half,
    bfloat16: half,
    ...(tf32 && { float32 }),
  });
  return {
    dense: shares(0.8, 1.2),
    matrices: shares(0.03, 0.05),
    // TF32 has kernels for channels first (`groupedSource`)
    grouped: { float16: 0.8, bfloat16: 0.8 },
    depthwise: shares(-0.1, 0.2),
    sums: shares(-0.1, -0.25),
  };
}
