import { instructions, type Kind, shortProduct } from "../../../../src/runtime/gpu/source/attention-instructions.js";
import type { KernelSource } from "../../../../src/runtime/gpu/source/kernel.js";

// what PTX says of the instructions of tensor cores, for one warp on the host: which thread holds what (the figures of
// mma.m16n8k16, mma.m16n8k8 and ldmatrix in NVIDIA's manual)

const copies = `
static uint4 mutwo_shared[16384];
static void copy16(void* to, const void* from, bool valid) {
  if (valid) std::memcpy(to, from, 16);
  else std::memset(to, 0, 16);
}
template <int BYTES> static void copy_small(void* to, const void* from, bool valid) {
  if (valid) std::memcpy(to, from, BYTES);
  else std::memset(to, 0, BYTES);
}
static void copies_begin() {}
static void copies_wait() {}
static float fused(float a, float b, float c) { return fmaf(a, b, c); }
static float most_of(float a, float b) { return fmaxf(a, b); }
static float power2(float x) { return exp2f(x); }
static float widen(float x) { return x; }
`;

const loads = `
static const char* row_of(int i) {
  const char* p;
  std::memcpy(&p, &slots[threadIdx.x / 32 * 32 + i], sizeof(p));
  return p;
}
static void load4(unsigned (&r)[4], const void* p) {
  const int lane = threadIdx.x % 32;
  std::memcpy(&slots[threadIdx.x], &p, sizeof(p));
  syncWarp();
  for (int i = 0; i < 4; i++) std::memcpy(&r[i], row_of(i * 8 + lane / 4) + lane % 4 * 4, 4);
  syncWarp();
}
static void load4_turned(unsigned (&r)[4], const void* p) {
  const int lane = threadIdx.x % 32;
  std::memcpy(&slots[threadIdx.x], &p, sizeof(p));
  syncWarp();
  for (int i = 0; i < 4; i++)
    for (int half = 0; half < 2; half++)
      std::memcpy((char*)&r[i] + 2 * half, row_of(i * 8 + lane % 4 * 2 + half) + lane / 4 * 2, 2);
  syncWarp();
}
`;

/** A product of 16 × k and k × 8 elements, `each` of which lie in a register. */
const product = (k: number, each: number): string => `
static unsigned lefts[1024][4], rights[1024][2];
static float element_of(unsigned bits, int i) {
  ${each === 2 ? "return widen((unsigned short)(bits >> (16 * i)));" : "return __uint_as_float(bits);"}
}
static void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 * 32;
  for (int i = 0; i < 4; i++) lefts[threadIdx.x][i] = a[i];
  rights[threadIdx.x][0] = b0, rights[threadIdx.x][1] = b1;
  syncWarp();
  for (int i = 0; i < 4; i++) {
    const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    for (int k = 0; k < ${k}; k++) {
      const int high = k >= ${k / 2}, at = k % ${k / 2} / ${each}, part = k % ${each};
      c[i] += element_of(lefts[warp + row % 8 * 4 + at][row / 8 + 2 * high], part) *
              element_of(rights[warp + column * 4 + at][high], part);
    }
  }
  syncWarp();
}
`;

const emulatedShort = `
static void multiply_short(float (&c)[4], const unsigned (&a)[4], unsigned b) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 * 32;
  for (int i = 0; i < 2; i++) lefts[threadIdx.x][i] = a[i];
  rights[threadIdx.x][0] = b;
  syncWarp();
  for (int i = 0; i < 4; i++) {
    const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    for (int k = 0; k < 4; k++)
      c[i] += __uint_as_float(lefts[warp + row % 8 * 4 + k][row / 8]) * __uint_as_float(rights[warp + column * 4 + k][0]);
  }
  syncWarp();
}
`;

const bfloat16 = `
static float widen(unsigned short x) { return __uint_as_float((unsigned)x << 16); }
static unsigned bits_of(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, 4);
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
static unsigned pack(float low, float high) { return bits_of(low) | bits_of(high) << 16; }
`;

const tf32 = `
static unsigned rounded(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, 4);
  return (bits + 0x1000) & ~0x1fffu;
}
`;

const emulated: Partial<Record<Kind, string>> = {
  bfloat16: copies + loads + bfloat16 + product(16, 2),
  tf32: copies + loads + tf32 + product(8, 1),
};

/** A kernel with the instructions of its kind as functions of the host. */
export function emulate(source: KernelSource, kind: Kind): KernelSource {
  const written = source.source
    .replace(instructions[kind], () => emulated[kind] as string)
    .replace(shortProduct, () => emulatedShort);
  return { ...source, source: `${written}using ${source.name}_::${source.name};\n` };
}
