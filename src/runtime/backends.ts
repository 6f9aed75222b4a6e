import { accessSync, constants } from "node:fs";

/** How a runtime is opened. */
export interface RuntimeOptions {
  /** Threads of the CPU's kernels; default all cores. */
  readonly threads?: number;
  /** Which GPU; default 0. */
  readonly device?: number;
  /** Whether matrix products and convolutions on a GPU may round their inputs to TF32; default true. */
  readonly tf32?: boolean;
  /** Only kernels that give the same bits each time; default false. On the CPU all are. */
  readonly deterministic?: boolean;
  /** The device that is estimated: a name that is known (`h100`), or a JSON file. */
  readonly deviceSpec?: string;
}

/** Backends that run a step. */
export const backends = ["cpu", "cuda"] as const;

export type Backend = (typeof backends)[number];

/** The backend that runs nothing: it estimates what a step takes on a device that is only described. */
export const estimateBackend = "estimate";

const replayPrefix = "replay:";

/** The file of a backend `replay:FILE`, which answers from a recording; undefined for every other backend. */
export const recordingOf = (backend: string): string | undefined =>
  backend.startsWith(replayPrefix) ? backend.slice(replayPrefix.length) : undefined;

const all: readonly string[] = [...backends, estimateBackend];

/**
 * Throws `unknown backend: …`, for a recording that is not there `cannot read recording: …`, or that there is no device
 * to estimate.
 */
export function checkBackend(backend: string, { deviceSpec }: RuntimeOptions = {}): void {
  const file = recordingOf(backend);
  if (backend === estimateBackend && deviceSpec === undefined)
    throw new Error("the estimate backend needs a device: none (profile and show take --device-spec h100)");
  if (file === undefined) {
    if (!all.includes(backend)) throw new Error(`unknown backend: ${backend} (one of ${all.join(", ")}, replay:FILE)`);
    return;
  }
  try {
    accessSync(file, constants.R_OK);
  } catch (error) {
    throw new Error(`cannot read recording: ${file} (${(error as NodeJS.ErrnoException).code})`, { cause: error });
  }
}

/** An option that not every backend has. */
export interface BackendOption<T> {
  readonly backends: readonly [Backend | typeof estimateBackend, ...(Backend | typeof estimateBackend)[]];
  /** What another backend says to a value; undefined for one that asks nothing of it. */
  refusal(value: T): string | undefined;
}

/** The options that not every backend has; a recording takes all, and has no use for them. */
export const backendOptions = {
  threads: { backends: ["cpu"], refusal: (threads: number) => `threads are for the cpu backend: ${threads}` },
  device: { backends: ["cuda"], refusal: (device: number) => `a device is for the cuda backend: ${device}` },
  tf32: {
    backends: ["cuda", "estimate"],
    refusal: (on: boolean) => (on ? undefined : "TF32 is for the cuda backend: no TF32"),
  },
  deviceSpec: {
    backends: ["estimate"],
    refusal: (spec: string) => `a device spec is for the estimate backend: ${spec}`,
  },
} as const satisfies { readonly [K in keyof RuntimeOptions]: BackendOption<NonNullable<RuntimeOptions[K]>> };

/** What a backend says to an option that is another's; undefined if it takes it. */
export function refusalOf<T>(backend: string, option: BackendOption<T>, value: T): string | undefined {
  const isOther = all.includes(backend) && !(option.backends as readonly string[]).includes(backend);
  return isOther ? option.refusal(value) : undefined;
}
