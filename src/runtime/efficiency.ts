/** Kinds of work whose kernels reach different shares of what a device can do. */
export const workKinds = [
  "product",
  "stridedProduct",
  "convolution",
  "filterGradient",
  "narrowConvolution",
  "elements",
  "rows",
  "movement",
] as const;

export type WorkKind = (typeof workKinds)[number];

/** How far kernels of one kind get. */
export interface Efficiency {
  /** Launches' worth of time that a node costs beyond its work. */
  readonly launches: number;
  /** Share of the peak operations per second. */
  readonly compute: number;
  /** Share of the memory's bandwidth. */
  readonly memory: number;
}

/** How far all kinds get, and the link. */
export type Efficiencies = Readonly<Record<WorkKind, Efficiency>> & {
  /** What a product keeps of its share of the peak where rows do not start on 16-byte boundaries. */
  readonly unaligned: number;
  /** Share of the link's bandwidth that a copy between host and device gets. */
  readonly link: number;
};

/** What is known of one device. */
export type PartialEfficiencies = { readonly [K in WorkKind]?: Partial<Efficiency> } & {
  readonly unaligned?: number;
  readonly link?: number;
};

/**
 * How far kernels get on the recorded steps of an H100 (test/recordings), in TF32 and float32: found by
 * `npm run bench -- --fit`, which says how far estimates are off with them, and on a model that was left out.
 */
export const fittedEfficiencies: Efficiencies = {
  product: { launches: 3.81, compute: 0.584, memory: 0.803 },
  stridedProduct: { launches: 3.5, compute: 0.36, memory: 0.8 },
  convolution: { launches: 2.91, compute: 0.472, memory: 0.824 },
  filterGradient: { launches: 2.07, compute: 0.321, memory: 0.755 },
  narrowConvolution: { launches: 3.82, compute: 0.454, memory: 0.7 },
  elements: { launches: 1.07, compute: 1, memory: 0.935 },
  // biome-ignore lint/suspicious/noApproximativeNumericConstant: fitted, no logarithm
  rows: { launches: 2.22, compute: 1, memory: 0.693 },
  movement: { launches: 1.1, compute: 1, memory: 0.875 },
  unaligned: 0.5,
  link: 0.863,
};

/** The shares of a device: those that are known of it, and fitted ones for the others. */
export function efficienciesOf(efficiency: PartialEfficiencies = {}): Efficiencies {
  const { unaligned, link, ...kinds } = { ...fittedEfficiencies, ...efficiency };
  return {
    ...(Object.fromEntries(
      Object.keys(kinds).map((kind) => [
        kind,
        { ...fittedEfficiencies[kind as WorkKind], ...efficiency[kind as WorkKind] },
      ]),
    ) as Record<WorkKind, Efficiencies[WorkKind]>),
    unaligned,
    link,
  };
}
