// How the mfma routes hand weights to the matrix unit without a detour through shared memory.
//
// A product sums over k in no order of ours, so A and B may take any 16 k of the row as long as they take the
// same. The lane layout gives each lane 4 of the 16, from one of 4 groups of lanes. So in a step of 128 along
// K group g owns the whole chunk g of 32 values (one packed scale) and feeds 4 of them to each of 8 products:
// product i multiplies k = 32·g + 4·i + (0..3), g < 4.
#pragma once

#include <string>

#include "kernels/hip/fragment.hpp"
#include "kernels/unpack.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr int kGroups = 4;                     // of lanes, by the k that they hold
inline constexpr int kStepK = kGroups * kChunk;       // of one step: 128
inline constexpr int kProducts = kStepK / kTile;      // in one step: 8
inline constexpr int kMaxColumns = kMaxFragment / 4;  // of B, a lane: 1 of a wave of 64, 2 of 32

// The additions that a product of K terms declares (docs/contracts.md): 16 for each block that is not all
// zeros, since a unit rounds by block whatever is in it; of the last step, all blocks that its longest chunk
// reaches. Added one by one, zeros round nothing.
inline int64_t mfma_chain(int64_t K, const std::string& unit) {
  if (unit == "ieee") return K;
  const int64_t rest = K % kStepK, longest = rest < kChunk ? rest : kChunk;
  return K - rest + kTile * ((longest + 3) / 4);
}

// Of one lane: what its registers of A and B hold.
struct LaneMap {
  int group;                                               // g above, the same for A and B
  int columns[kMaxColumns];                                // of B: this lane's rows of W
  int a_row[kFragmentStorage], a_at[kFragmentStorage];     // row of A; place 0–3 among the lane's four k
  int b_column[kFragmentStorage], b_at[kFragmentStorage];  // which of `columns`; place likewise
};

// Which of a lane's four k the layout's k is: 4g + place (wave 64), 8·(place/2) + 2g + place%2 (wave 32).
__device__ inline int place_of_k(int k) { return wave_size() == 64 ? k % 4 : k / 8 * 2 + k % 2; }
__device__ inline int group_of_k(int k) { return wave_size() == 64 ? k / 4 : k % 8 / 2; }
__device__ inline int lane_columns() { return fragment_elements() / 4; }

__device__ __forceinline__ LaneMap lane_map() {
  LaneMap map{};
  const int lane = lane_id();
  map.group = group_of_k(a_cell(lane, 0).column);
  map.columns[0] = b_cell(lane, 0).column;
  map.columns[lane_columns() - 1] = b_cell(lane, fragment_elements() - 1).column;
  for (int r = 0; r < fragment_elements(); ++r) {
    const FragmentCell a = a_cell(lane, r), b = b_cell(lane, r);
    map.a_row[r] = a.row;
    map.a_at[r] = place_of_k(a.column);
    map.b_column[r] = b.column == map.columns[0] ? 0 : 1;
    map.b_at[r] = place_of_k(b.row);
  }
  return map;
}

// The chunk at k of row n of W in f16 or bf16: computed in f32, then rounded. Zeros beyond row N or column K.
template <WeightType T, Operand O>
__device__ inline void weight_chunk(const uint8_t* w, int64_t n, int64_t N, int64_t k, int64_t K,
                                    half_bits (&out)[kChunk]) {
  float values[kChunk] = {};
  if (n < N && k < K) unpack_chunk<T>(w + n * row_bytes(T, K), k, K - k, values);
  for (int i = 0; i < kChunk; ++i) out[i] = f32_to_operand_rn<O>(values[i]);
}

}  // namespace greta::kernels::inline GRETA_MACHINE
