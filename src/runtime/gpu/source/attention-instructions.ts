import type { DType } from "../../../graph/graph.js";

/** How tensor cores compute an attention's products: of 16-bit elements, or of float32 rounded to TF32; sums are float32. */
export type Kind = "bfloat16" | "float16" | "tf32";

/** The kind for an element type; undefined if there is none. */
export function kindOf(dtype: DType, tf32: boolean): Kind | undefined {
  if (dtype === "float32") return tf32 ? "tf32" : undefined;
  return dtype === "bfloat16" || dtype === "float16" ? dtype : undefined;
}

/** Bytes of an element in memory. */
export const elementBytes: Readonly<Record<Kind, number>> = {
  bfloat16: 2,
  float16: 2,
  tf32: 4,
};

/** Copies to shared memory that go on beside the computation, and the region that they go to. */
const copies = `
extern __shared__ uint4 mutwo_shared[];
__device__ __forceinline__ unsigned in_shared(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void copy16(void* to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(in_shared(to)), "l"(from), "r"(valid ? 16 : 0));
}
template <int BYTES> __device__ __forceinline__ void copy_small(void* to, const void* from, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(in_shared(to)), "l"(from), "r"(valid ? BYTES : 0), "n"(BYTES));
}
__device__ __forceinline__ void copies_begin() { asm volatile("cp.async.commit_group;" ::: "memory"); }
__device__ __forceinline__ void copies_wait() { asm volatile("cp.async.wait_group 0;" ::: "memory"); }
`;

/** Four matrices of 8 rows of 16 bytes, as they lie or (elements of 16 bits) turned; lane l gives the address of row l. */
const matrixLoads = `
__device__ __forceinline__ void load4(unsigned (&r)[4], const void* p) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(in_shared(p)));
}
__device__ __forceinline__ void load4_turned(unsigned (&r)[4], const void* p) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(in_shared(p)));
}
`;

/** A product of 16 rows and 8 columns on the tensor cores, added to \`c\`: what PTX calls it. */
const product = (shape: string): string => `
__device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm("mma.sync.aligned.${shape} {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
`;

/** The same of TF32 with half as long an inner dimension. */
export const shortProduct = `
__device__ __forceinline__ void multiply_short(float (&c)[4], const unsigned (&a)[4], unsigned b) {
  asm("mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(b));
}
`;

const fastPower = `
__device__ __forceinline__ float most_of(float a, float b) { return fmaxf(a, b); }
__device__ __forceinline__ float fused(float a, float b, float c) { return fmaf(a, b, c); }
__device__ __forceinline__ float power2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
`;

/** Two float32 numbers in one register of 16-bit elements, and each of them back. */
const packing = {
  bfloat16: `
__device__ __forceinline__ unsigned pack(float low, float high) {
  unsigned r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
__device__ __forceinline__ float widen(unsigned short x) { return __uint_as_float((unsigned)x << 16); }
`,
  float16: `
__device__ __forceinline__ unsigned pack(float low, float high) {
  unsigned r;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
__device__ __forceinline__ float widen(unsigned short x) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
  return y;
}
`,
};

const rounding = `
__device__ __forceinline__ unsigned rounded(float x) {
  unsigned r;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
  return r;
}
__device__ __forceinline__ float widen(float x) { return x; }
`;

/** The instructions of a kind, as functions that the rest of a kernel is written in. */
export const instructions: Readonly<Record<Kind, string>> = {
  bfloat16: copies + matrixLoads + fastPower + packing.bfloat16 + product("m16n8k16.row.col.f32.bf16.bf16.f32"),
  float16: copies + matrixLoads + fastPower + packing.float16 + product("m16n8k16.row.col.f32.f16.f16.f32"),
  tf32: copies + matrixLoads + fastPower + rounding + product("m16n8k8.row.col.f32.tf32.tf32.f32"),
};
