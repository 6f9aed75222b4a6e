import type { FeatureMap, SubArray } from "../src/plan/multiplex/half.js";

/** A feature map with its last forward and its first backward use by rank, copied in 2 ms and never made again. */
export const featureMap = (
  name: string,
  bytes: number,
  [lastForwardAccess, firstBackwardAccess]: readonly [number, number],
  given: Partial<FeatureMap> = {},
): FeatureMap => ({
  name,
  memoryBytes: bytes,
  createdRank: lastForwardAccess,
  lastForwardAccess,
  firstBackwardAccess,
  lastBackwardAccess: firstBackwardAccess,
  inactiveMs: firstBackwardAccess - lastForwardAccess - 1,
  swapMs: 2,
  recomputeSources: [],
  recomputeMs: 0,
  fixed: "not here",
  ...given,
});

/** A sub-array of nodes of 1 ms, or of the times given by name. */
export const subArrayOf = (
  forward: readonly string[],
  backward: readonly string[],
  activeBytes: (name: string) => number,
  maps: readonly FeatureMap[],
  staticBytes = 0,
  ms: Readonly<Record<string, number>> = {},
): SubArray => ({
  nodes: [...forward, ...backward].map((name) => ({ name, ms: ms[name] ?? 1, activeBytes: activeBytes(name) })),
  forwardCount: forward.length,
  maps,
  staticBytes,
});
