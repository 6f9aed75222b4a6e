import { createHash } from "node:crypto";
import type { DType, Graph, Tensor } from "../../../graph/graph.js";

/** A generated kernel and how it is launched. */
export interface KernelSource {
  /** Name of the `__global__` function; equal sources have equal names. */
  readonly name: string;
  /** CUDA C of the function, to stand behind `prelude`. */
  readonly source: string;
  readonly blocks: number;
  readonly threads: number;
  /** Shared memory that the launch gives to each block, bytes; default: none beside what the source declares. */
  readonly sharedBytes?: number;
}

/** C type in memory, and the one that is computed in: 16-bit floats compute in float32 and are rounded when written. */
export const memoryTypes: Partial<Record<DType, string>> = {
  float32: "float",
  float64: "double",
  float16: "__half",
  bfloat16: "__nv_bfloat16",
  bool: "unsigned char",
  int8: "signed char",
  uint8: "unsigned char",
  int32: "int",
  int64: "long long",
};

/** What all generated kernels share. */
export const prelude = `
#ifndef MUTWO_NO_16_BIT
#include <cuda_fp16.h>
#include <cuda_bf16.h>
#endif
template <typename T> __device__ __forceinline__ T mutwo_max(T a, T b) { return a > b || a != a ? a : b; }
template <typename T> __device__ __forceinline__ T mutwo_min(T a, T b) { return a < b || a != a ? a : b; }
template <typename T> struct alignas(4 * sizeof(T)) mutwo_four { T v[4]; };
template <typename C, typename M> __device__ __forceinline__ C mutwo_in(M m) { return (C)m; }
template <typename M, typename C> __device__ __forceinline__ M mutwo_out(C c) { return (M)c; }
#ifndef MUTWO_NO_16_BIT
template <> __device__ __forceinline__ float mutwo_in<float, __half>(__half m) { return __half2float(m); }
template <> __device__ __forceinline__ float mutwo_in<float, __nv_bfloat16>(__nv_bfloat16 m) { return __bfloat162float(m); }
template <> __device__ __forceinline__ __half mutwo_out<__half, float>(float c) { return __float2half_rn(c); }
template <> __device__ __forceinline__ __nv_bfloat16 mutwo_out<__nv_bfloat16, float>(float c) { return __float2bfloat16_rn(c); }
#endif
`;

/** Names a kernel after what it does, so that equal ones are compiled once. */
export function named(text: (name: string) => string, blocks: number, threads: number): KernelSource {
  const hash = createHash("sha256").update(text("k")).update(String(threads)).digest("hex").slice(0, 20);
  const name = `mutwo_${hash}`;
  return { name, source: text(name), blocks, threads };
}

export const parameters = (body: Graph): string =>
  [
    ...body.inputs.map((name) => `const ${memoryTypes[(body.tensors.get(name) as Tensor).dtype]}* ${name}`),
    ...body.outputs.map((name) => `${memoryTypes[(body.tensors.get(name) as Tensor).dtype]}* ${name}`),
  ].join(", ");
