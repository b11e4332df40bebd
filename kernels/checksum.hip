// A checksum of a tensor's bytes, where it lies: Σ mix(word, index), added up per block, then by one atomic
// addition a block, whose order does not matter. Blocks of 256, 4 loads of 16 bytes in flight a thread; where
// the address has no such alignment, a word from its bytes.
#include <algorithm>

#include "kernels/evidence.hpp"
#include "kernels/mix.hpp"
#include "kernels/wide.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

using Word = unsigned long long;  // the type of a card's 64-bit atomics
constexpr int kInFlight = 4;
constexpr int64_t kMostBlocks = 132 * 8;  // as many as an H200 runs at once; any number is right

struct alignas(16) WordPair {
  uint64_t v[2];
};

// `count` bytes, at most 8.
__device__ inline uint64_t word_at(const unsigned char* bytes, int64_t count) {
  uint64_t word = 0;
  for (int j = 0; j < 8 && j < count; ++j) word |= static_cast<uint64_t>(bytes[j]) << 8 * j;
  return word;
}

__device__ inline void add_to(uint64_t own, uint64_t* per_wave, uint64_t* out) {
  for (int mask = wave_size() / 2; mask > 0; mask /= 2) own += wave_shuffle_xor(own, mask);
  if (lane_id() == 0) per_wave[wave_id()] = own;
  __syncthreads();
  if (threadIdx.x != 0) return;
  uint64_t sum = 0;
  for (int i = 0; i < kWideBlock / wave_size(); ++i) sum += per_wave[i];
  atomicAdd(reinterpret_cast<Word*>(out), static_cast<Word>(sum));
}

__device__ inline uint64_t own_tail(const unsigned char* bytes, int64_t count, int64_t first_word) {
  if (blockIdx.x != 0 || threadIdx.x != 0) return 0;
  uint64_t sum = mix(static_cast<uint64_t>(count), ~uint64_t{0});
  for (int64_t i = first_word; 8 * i < count; ++i)
    sum += mix(word_at(bytes + 8 * i, count - 8 * i), static_cast<uint64_t>(i));
  return sum;
}

__global__ void __launch_bounds__(kWideBlock)
    checksum_kernel(const unsigned char* bytes, int64_t count, uint64_t* out) {
  GRETA_SHARED(uint64_t, per_wave, kWideWaves);
  const WordPair* pairs = reinterpret_cast<const WordPair*>(bytes);
  const int64_t whole = count / 16, step = static_cast<int64_t>(gridDim.x) * kWideBlock;
  uint64_t own = own_tail(bytes, count, 2 * whole);
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * kWideBlock + threadIdx.x; first < whole;
       first += kInFlight * step) {
    WordPair kept[kInFlight];
    GRETA_UNROLL
    for (int p = 0; p < kInFlight; ++p) {
      if (first + p * step < whole) kept[p] = pairs[first + p * step];
    }
    GRETA_UNROLL
    for (int p = 0; p < kInFlight; ++p) {
      const int64_t at = first + p * step;
      if (at >= whole) break;
      own += mix(kept[p].v[0], static_cast<uint64_t>(2 * at)) +
             mix(kept[p].v[1], static_cast<uint64_t>(2 * at + 1));
    }
  }
  add_to(own, per_wave, out);
}

__global__ void __launch_bounds__(kWideBlock)
    checksum_unaligned_kernel(const unsigned char* bytes, int64_t count, uint64_t* out) {
  GRETA_SHARED(uint64_t, per_wave, kWideWaves);
  const int64_t whole = count / 8, step = static_cast<int64_t>(gridDim.x) * kWideBlock;
  uint64_t own = own_tail(bytes, count, whole);
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kWideBlock + threadIdx.x; i < whole; i += step)
    own += mix(word_at(bytes + 8 * i, 8), static_cast<uint64_t>(i));
  add_to(own, per_wave, out);
}

}  // namespace

void checksum(hipStream_t stream, const void* data, int64_t bytes, uint64_t* out) {
  require(data != nullptr && out != nullptr, "checksum", "data or out is null");
  require(bytes > 0, "checksum", "nothing to sum");
  const hipError_t zeroed = hipMemsetAsync(out, 0, sizeof(*out), stream);
  require(zeroed == hipSuccess, "checksum", hipGetErrorString(zeroed));
  const auto* from = static_cast<const unsigned char*>(data);
  const unsigned grid = static_cast<unsigned>(
      std::clamp<int64_t>(ceil_div(bytes, 16 * kInFlight * kWideBlock), 1, kMostBlocks));
  if (reinterpret_cast<uintptr_t>(data) % sizeof(WordPair) == 0) {
    hipLaunchKernelGGL(checksum_kernel, dim3(grid), dim3(kWideBlock), 0, stream, from, bytes, out);
  } else {
    hipLaunchKernelGGL(checksum_unaligned_kernel, dim3(grid), dim3(kWideBlock), 0, stream, from, bytes, out);
  }
  check_launched("checksum");
}

}  // namespace greta::kernels::inline GRETA_MACHINE
