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
}

/** Backends that run a step. */
export const backends = ["cpu", "cuda"] as const;

export type Backend = (typeof backends)[number];

const replayPrefix = "replay:";

/** The file of a backend `replay:FILE`, which answers from a recording; undefined for every other backend. */
export const recordingOf = (backend: string): string | undefined =>
  backend.startsWith(replayPrefix) ? backend.slice(replayPrefix.length) : undefined;

/** Throws `unknown backend: …`, or for a recording that is not there `cannot read recording: …`. */
export function checkBackend(backend: string): void {
  const file = recordingOf(backend);
  if (file === undefined) {
    if (!(backends as readonly string[]).includes(backend))
      throw new Error(`unknown backend: ${backend} (one of ${backends.join(", ")}, replay:FILE)`);
    return;
  }
  try {
    accessSync(file, constants.R_OK);
  } catch (error) {
    throw new Error(`cannot read recording: ${file} (${(error as NodeJS.ErrnoException).code})`, { cause: error });
  }
}

/** An option that only one backend has. */
export interface BackendOption<T> {
  readonly backend: Backend;
  /** What another backend says to a value; undefined for one that asks nothing of it. */
  refusal(value: T): string | undefined;
}

/** The options that only one backend has; a recording takes all, and has no use for them. */
export const backendOptions = {
  threads: { backend: "cpu", refusal: (threads: number) => `threads are for the cpu backend: ${threads}` },
  device: { backend: "cuda", refusal: (device: number) => `a device is for the cuda backend: ${device}` },
  tf32: { backend: "cuda", refusal: (on: boolean) => (on ? undefined : "TF32 is for the cuda backend: no TF32") },
} as const satisfies { readonly [K in keyof RuntimeOptions]: BackendOption<NonNullable<RuntimeOptions[K]>> };

/** What a backend says to an option that is another's; undefined if it takes it. */
export function refusalOf<T>(backend: string, option: BackendOption<T>, value: T): string | undefined {
  const isOther = (backends as readonly string[]).includes(backend) && backend !== option.backend;
  return isOther ? option.refusal(value) : undefined;
}
