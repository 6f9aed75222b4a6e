// Just enough of CUDA C to run a generated kernel on the host: one std::thread for each thread of a block, blocks one
// after the other, barriers for what CUDA synchronises. For tests only.
#include <barrier>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>
#define MUTWO_NO_16_BIT
#define __global__
#define __device__ static
#define __forceinline__ inline
#define __launch_bounds__(threads)
#define __shared__ static
struct Index {
  unsigned x;
};
static thread_local Index threadIdx, blockIdx;
static Index gridDim;
static std::unique_ptr<std::barrier<>> blockBarrier;
static std::vector<std::unique_ptr<std::barrier<>>> warpBarriers;
static double slots[1024];
static int votes[1024];
static inline int min(int a, int b) { return a < b ? a : b; }
static inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
static void __syncthreads() { blockBarrier->arrive_and_wait(); }
static void syncWarp() { warpBarriers[threadIdx.x / 32]->arrive_and_wait(); }
static int __syncthreads_or(int vote) {
  votes[threadIdx.x] = vote;
  __syncthreads();
  int any = 0;
  for (size_t i = 0; i < 32 * warpBarriers.size(); i++) any |= votes[i];
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
template <typename... A, size_t... I>
static void callWith(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
  kernel((A)arguments[I]...);
}
template <typename... A> static void launch(void (*kernel)(A...), unsigned blocks, unsigned threads, void** arguments) {
  gridDim.x = blocks;
  for (unsigned block = 0; block < blocks; block++) {
    blockBarrier = std::make_unique<std::barrier<>>(threads);
    warpBarriers.clear();
    for (unsigned i = 0; i < (threads + 31) / 32; i++) warpBarriers.push_back(std::make_unique<std::barrier<>>(32));
    std::vector<std::thread> running;
    for (unsigned i = 0; i < threads; i++)
      running.emplace_back([=] {
        threadIdx.x = i;
        blockIdx.x = block;
        callWith(kernel, arguments, std::index_sequence_for<A...>{});
      });
    for (auto& one : running) one.join();
  }
}
