import type { DType } from "../../../graph/graph.js";
import { computeTypes } from "./expressions.js";
import { type KernelSource, memoryTypes, named } from "./kernel.js";

const threads = 256;

/** Philox-4x32-10 (Salmon et al. 2011): four random words from a counter and a key. */
const philox = `
  unsigned c0 = (unsigned)q, c1 = (unsigned)(q >> 32), c2 = (unsigned)*step, c3 = (unsigned)(*step >> 32);
  unsigned k0 = SEED, k1 = 0;
  for (int round = 0; round < 10; round++) {
    const unsigned long long p0 = 0xD2511F53ull * c0, p1 = 0xCD9E8D57ull * c2;
    const unsigned n0 = (unsigned)(p1 >> 32) ^ c1 ^ k0, n2 = (unsigned)(p0 >> 32) ^ c3 ^ k1;
    c1 = (unsigned)p1; c3 = (unsigned)p0; c0 = n0; c2 = n2;
    k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;
  }
  const unsigned words[4] = {c0, c1, c2, c3};
  // in [0, 1): the upper 24 bits, which a float holds exactly
  float u[4];
  for (int e = 0; e < 4; e++) u[e] = (float)(words[e] >> 8) * 5.9604644775390625e-8f;`;

/** A kernel over `count` elements, four a thread, in which `u` holds numbers that depend on seed, step and place alone. */
function drawn(parameters: string, seed: number, count: number, body: string): KernelSource {
  const quads = Math.ceil(count / 4);
  return named(
    (
      name,
    ) => `extern "C" __global__ void __launch_bounds__(${threads}) ${name}(const unsigned long long* step, ${parameters}) {
  const unsigned long long q = blockIdx.x * ${threads}ull + threadIdx.x;
  if (q >= ${quads}ull) return;
${philox.replace("SEED", `${seed >>> 0}u`)}
  for (int e = 0; e < 4; e++) {
    const unsigned long long i = 4 * q + e;
    if (i >= ${count}ull) break;
${body}
  }
}
`,
    Math.max(1, Math.ceil(quads / threads)),
    threads,
  );
}

/** CUDA C of dropout: a new mask each step. Parameters: the step's number, X, Y, and the mask if it is wanted. */
export function dropoutSource(dtype: DType, count: number, ratio: number, seed: number, mask: boolean): KernelSource {
  const [memory, compute] = [memoryTypes[dtype] as string, computeTypes[dtype] as string];
  return drawn(
    `const ${memory}* x, ${memory}* y${mask ? ", unsigned char* mask" : ""}`,
    seed,
    count,
    `    const bool kept = u[e] >= ${Math.fround(ratio).toExponential()}f;
    y[i] = mutwo_out<${memory}>(kept ? mutwo_in<${compute}>(x[i]) * (${compute})${(1 / (1 - ratio)).toExponential()} : (${compute})0);
${mask ? "    mask[i] = kept;" : ""}`,
  );
}

/** How random numbers are spread. */
export type Spread =
  | { readonly kind: "uniform"; readonly low: number; readonly high: number }
  | { readonly kind: "normal"; readonly mean: number; readonly scale: number };

/** CUDA C of random numbers, new ones each step. Parameters: the step's number, Y. */
export function randomSource(dtype: DType, count: number, spread: Spread, seed: number): KernelSource {
  const memory = memoryTypes[dtype] as string;
  const compute = computeTypes[dtype] as string;
  const number = (value: number): string => `(${compute})${value.toExponential()}`;
  // Box and Muller 1958; 1 − u is never 0
  const value =
    spread.kind === "uniform"
      ? `${number(spread.low)} + (${compute})u[e] * ${number(spread.high - spread.low)}`
      : `${number(spread.mean)} + ${number(spread.scale)} * (${compute})(sqrtf(-2.0f * logf(1.0f - u[e / 2 * 2])) * (e % 2 ? sinf(6.283185307f * u[e / 2 * 2 + 1]) : cosf(6.283185307f * u[e / 2 * 2 + 1])))`;
  return drawn(`${memory}* y`, seed, count, `    y[i] = mutwo_out<${memory}>(${value});`);
}

/** A kernel that counts steps: random numbers are others in the next one, also where a captured step is replayed. */
export const nextStepSource: KernelSource = {
  name: "mutwo_next_step",
  source: `extern "C" __global__ void mutwo_next_step(unsigned long long* step) { *step = *step + 1; }
`,
  blocks: 1,
  threads: 1,
};
