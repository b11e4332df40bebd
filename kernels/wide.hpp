// What the wide kernels share: blocks of 256, loads and stores of 16 bytes, sums and maxima over a block.
#pragma once

#include <cstdint>

#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr int kWideBlock = 256;
inline constexpr int kSmallestWave = 32;
inline constexpr int kWideWaves = kWideBlock / kSmallestWave;

// kWidth floats that are loaded and stored as one; of 4, that is a card's widest access.
template <int kWidth>
struct alignas(4 * kWidth) Pack {
  float v[kWidth];
};
template <int kWidth>
__device__ __forceinline__ Pack<kWidth> load_pack(const float* at) {
  return *reinterpret_cast<const Pack<kWidth>*>(at);
}
template <int kWidth>
__device__ __forceinline__ void store_pack(float* at, const Pack<kWidth>& pack) {
  *reinterpret_cast<Pack<kWidth>*>(at) = pack;
}

// Whether packs of 4 may be taken from each of these addresses.
template <class... T>
bool aligned_for_packs(const T*... at) {
  return ((reinterpret_cast<uintptr_t>(at) % sizeof(Pack<4>) == 0) && ...);
}

// The width and the packs of each thread that hold a row in registers: 1, 2, 4, 8 or 16 packs; 0 where 16 of
// `threads` threads are too few, and the row is read again instead.
struct RowSplit {
  int width, packs;
  int64_t longest(int threads, int64_t columns) const {  // packs that a thread goes through
    return packs > 0 ? packs : ceil_div(columns, int64_t{width} * threads);
  }
};
inline constexpr int kMostPacks = 16;
inline constexpr int64_t kLongestRow = int64_t{1} << 30;  // columns are counted in 32 bits
inline RowSplit split_row(int64_t columns, int threads, bool aligned) {
  const int width = aligned && columns % 4 == 0 ? 4 : 1;
  for (int packs = 1; packs <= kMostPacks; packs *= 2) {
    if (columns <= int64_t{width} * packs * threads) return {width, packs};
  }
  return {width, 0};
}

// Calls f.template operator()<width, packs>().
template <class F>
void with_row_split(RowSplit split, F f) {
  const auto with_width = [&]<int kWidth>() {
    switch (split.packs) {
      case 1:
        return f.template operator()<kWidth, 1>();
      case 2:
        return f.template operator()<kWidth, 2>();
      case 4:
        return f.template operator()<kWidth, 4>();
      case 8:
        return f.template operator()<kWidth, 8>();
      case 16:
        return f.template operator()<kWidth, 16>();
      default:
        return f.template operator()<kWidth, 0>();
    }
  };
  if (split.width == 4)
    with_width.template operator()<4>();
  else
    with_width.template operator()<1>();
}

struct Plus {
  __device__ static float join(float a, float b) { return a + b; }
  static constexpr float kNeutral = 0;
};
struct Larger {
  __device__ static float join(float a, float b) { return fmaxf(a, b); }
  static constexpr float kNeutral = -INFINITY;
};

// Over the lanes of the wave, for all of them; a tree, the same bits in every lane.
template <class Op>
__device__ __forceinline__ float over_wave(float value) {
  for (int mask = wave_size() / 2; mask > 0; mask /= 2)
    value = Op::join(value, wave_shuffle_xor(value, mask));
  return value;
}

// Over a block of kWideBlock, for all threads; a tree of tree_depth(kWideBlock). `per_wave`: kWideWaves
// floats of shared memory, of this call alone.
template <class Op>
__device__ __forceinline__ float over_block(float value, float* per_wave) {
  value = over_wave<Op>(value);
  if (lane_id() == 0) per_wave[wave_id()] = value;
  __syncthreads();
  const int waves = kWideBlock / wave_size();
  float values[kWideWaves];
  GRETA_UNROLL
  for (int i = 0; i < kWideWaves; ++i) values[i] = i < waves ? per_wave[i] : Op::kNeutral;
  GRETA_UNROLL
  for (int width = kWideWaves / 2; width > 0; width /= 2) {
    GRETA_UNROLL
    for (int i = 0; i < width; ++i) values[i] = Op::join(values[i], values[i + width]);
  }
  return values[0];
}

// The values of a pack joined, a tree.
template <class Op, int kWidth>
__device__ __forceinline__ float over_pack(Pack<kWidth> pack) {
  GRETA_UNROLL
  for (int width = kWidth / 2; width > 0; width /= 2) {
    GRETA_UNROLL
    for (int i = 0; i < width; ++i) pack.v[i] = Op::join(pack.v[i], pack.v[i + width]);
  }
  return pack.v[0];
}

// out[i] = f(a[i], b[i]): a pack a thread; the values behind the last whole pack go to the first threads.
template <class F>
__device__ __forceinline__ void map_packs(const float* a, const float* b, int64_t count, float* out) {
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kWideBlock + threadIdx.x, packs = count / 4;
  if (thread < packs) {
    const Pack<4> x = load_pack<4>(a + 4 * thread), y = load_pack<4>(b + 4 * thread);
    Pack<4> z;
    GRETA_UNROLL
    for (int j = 0; j < 4; ++j) z.v[j] = F::of(x.v[j], y.v[j]);
    store_pack<4>(out + 4 * thread, z);
  }
  const int64_t rest = 4 * packs + thread;
  if (rest < count) out[rest] = F::of(a[rest], b[rest]);
}
inline unsigned map_grid(int64_t count, const char* op) { return grid_for(count, 4 * kWideBlock, op); }

}  // namespace greta::kernels::inline GRETA_MACHINE
