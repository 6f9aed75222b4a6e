// Just enough of CUDA C to run a generated kernel on the host: blocks one after the other, the threads of a block in
// turns, each until it has to wait for others. A barrier that is missing shows: a thread reads what a later one has not
// written yet, or, in every other round, what a later one should not have written yet. For tests only.
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <utility>
// types of 16 bits are the ones below
#define MUTWO_NO_16_BIT
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static
struct __nv_bfloat16 {
  unsigned short bits;
  __nv_bfloat16() = default;
  __nv_bfloat16(float value) {
    unsigned all;
    memcpy(&all, &value, 4);
    if (value != value) bits = 0x7fff;
    else bits = (all + 0x7fffu + (all >> 16 & 1u)) >> 16; // to nearest, ties to even
  }
  operator float() const {
    unsigned all = (unsigned)bits << 16;
    float value;
    memcpy(&value, &all, 4);
    return value;
  }
};
struct __half {
  _Float16 number;
  __half() = default;
  __half(float value) : number((_Float16)value) {}
  operator float() const { return (float)number; }
};
struct Index {
  unsigned x;
};
static Index threadIdx, blockIdx, gridDim;
struct Thread {
  ucontext_t context;
  char* stack;
  bool isOver;
};
static Thread running[1024];
static ucontext_t turns;
static unsigned progress; // of whom nobody waits for any more: threads that are over, barriers that all have reached
struct Barrier {
  unsigned size, arrived, passed;
  void wait() {
    unsigned mine = passed;
    if (++arrived == size) {
      arrived = 0;
      passed++;
      progress++;
    }
    while (passed == mine) swapcontext(&running[threadIdx.x].context, &turns);
  }
};
static Barrier blockBarrier, warpBarriers[32];
static double slots[1024];
static int votes[1024];
static inline int max(int a, int b) { return a > b ? a : b; }
static inline int min(int a, int b) { return a < b ? a : b; }
static inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
static void __syncthreads() { blockBarrier.wait(); }
static void syncWarp() { warpBarriers[threadIdx.x / 32].wait(); }
static int __syncthreads_or(int vote) {
  votes[threadIdx.x] = vote;
  __syncthreads();
  int any = 0;
  for (unsigned i = 0; i < blockBarrier.size; i++) any |= votes[i];
  __syncthreads();
  return any;
}
static unsigned __ballot_sync(unsigned, bool vote) {
  votes[threadIdx.x] = vote;
  syncWarp();
  unsigned bits = 0;
  for (int lane = 0; lane < 32; lane++) bits |= (unsigned)(votes[threadIdx.x / 32 * 32 + lane] != 0) << lane;
  syncWarp();
  return bits;
}
static int __popc(unsigned bits) { return __builtin_popcount(bits); }
template <typename T> static T __shfl_xor_sync(unsigned, T value, int mask) {
  std::memcpy(&slots[threadIdx.x], &value, sizeof(T));
  syncWarp();
  T other;
  std::memcpy(&other, &slots[threadIdx.x ^ mask], sizeof(T));
  syncWarp();
  return other;
}
template <typename T> static T __shfl_sync(unsigned, T value, int lane) {
  std::memcpy(&slots[threadIdx.x], &value, sizeof(T));
  syncWarp();
  T other;
  std::memcpy(&other, &slots[threadIdx.x / 32 * 32 + lane], sizeof(T));
  syncWarp();
  return other;
}
static float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
static unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}
struct float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
static float2 make_float2(float x, float y) { return {x, y}; }
template <typename... A, size_t... I>
static void callWith(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
  kernel((A)arguments[I]...);
}
template <typename... A> static void launch(void (*kernel)(A...), unsigned blocks, unsigned threads, void** arguments) {
  static void (*run)(A...);
  static void** given;
  constexpr size_t stackBytes = 1 << 17;
  run = kernel;
  given = arguments;
  void (*body)() = [] {
    callWith(run, given, std::index_sequence_for<A...>{});
    running[threadIdx.x].isOver = true;
    progress++;
  };
  gridDim.x = blocks;
  for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) {
    blockBarrier = {threads, 0, 0};
    for (auto& barrier : warpBarriers) barrier = {32, 0, 0};
    for (unsigned i = 0; i < threads; i++) {
      Thread& one = running[i];
      getcontext(&one.context);
      if (!one.stack) one.stack = (char*)malloc(stackBytes);
      one.context.uc_stack.ss_sp = one.stack;
      one.context.uc_stack.ss_size = stackBytes;
      one.context.uc_link = &turns;
      one.isOver = false;
      makecontext(&one.context, body, 0);
    }
    unsigned round = blockIdx.x;
    for (unsigned before = progress - 1; progress != before; round++) {
      before = progress;
      for (unsigned i = 0; i < threads; i++) {
        threadIdx.x = round % 2 ? threads - 1 - i : i;
        if (!running[threadIdx.x].isOver) swapcontext(&turns, &running[threadIdx.x].context);
      }
    }
    for (unsigned i = 0; i < threads; i++)
      if (!running[i].isOver) {
        fprintf(stderr, "thread %u of block %u waits for ever\n", i, blockIdx.x);
        abort();
      }
  }
}
